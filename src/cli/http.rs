//! Requests of the command line: one at a time, bounded in size and time, never led elsewhere by a redirect.

use std::time::Duration;

/// A client that asks once and gives up after a time.
pub(super) fn client(timeout: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder().timeout(timeout).redirect(reqwest::redirect::Policy::none())
}

/// The whole body of an answer.
///
/// # Errors
/// What follows "the answer": it is larger, or it breaks off.
pub(super) async fn body(mut response: reqwest::Response, max_length: usize) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(text),
            Ok(Some(chunk)) if text.len() + chunk.len() > max_length => {
                return Err(format!("is larger than {} KiB", max_length / 1024));
            }
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            Err(error) => return Err(format!("breaks off ({})", innermost(&error))),
        }
    }
}

/// The cause that says most: "connection refused" rather than "error sending request".
pub(super) fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}
