//! A key set from a file or a URL, bounded in size and time.

use std::{fs::File, io::Read, time::Duration};

use super::{http, output::Failure};
use crate::jose::JwkSet;

/// The largest key set that is read, in bytes.
const MAX_LENGTH: usize = 256 * 1024;

/// How long fetching may take altogether.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the key set at `source`: a URL when it begins with `https://` or `http://`, else the path of a file.
pub(super) fn read(source: &str) -> Result<JwkSet, Failure> {
    let is_url = source.starts_with("https://") || source.starts_with("http://");
    let text = if is_url { fetch(source) } else { read_file(source) };
    let keys = text.and_then(|text| JwkSet::parse(&text).map_err(|error| error.to_string()));
    keys.map_err(|problem| Failure::failed(format!("{source}: {problem}; name a JWKS with --jwks")))
}

fn read_file(path: &str) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LENGTH as u64 + 1).read_to_end(&mut text))
        .map_err(|error| format!("cannot be read ({error})"))?;
    if text.len() > MAX_LENGTH { Err(TOO_LONG.to_owned()) } else { Ok(text) }
}

const TOO_LONG: &str = "is larger than 256 KiB";

fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot be fetched ({error})"))?;
    runtime.block_on(fetch_bounded(url))
}

async fn fetch_bounded(url: &str) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| format!("cannot be fetched ({})", http::innermost(&error));
    let client = http::client(TIMEOUT).build().map_err(failed)?;
    let response = client.get(url).send().await.map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("was answered with status {}", response.status().as_u16()));
    }
    http::body(response, MAX_LENGTH).await
}
