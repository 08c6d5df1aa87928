//! One bounded request for a document (V-33).
//!
//! No redirect is followed: where keys are is registered, and a server that sends elsewhere is refused. No proxy is asked
//! (a proxy would resolve the name itself), nothing is decompressed, and only status 200 is an answer.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, StatusCode,
    header::{ACCEPT, HeaderValue},
    redirect,
};

use super::{
    FetchError, Settings, lifetime,
    resolver::{Lookup, Resolver},
    target::Target,
};

/// A document that was fetched.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Vec<u8>,
    /// For how long it holds.
    pub(super) lifetime: Duration,
}

/// Makes requests.
#[derive(Debug)]
pub(super) struct Http {
    /// For names that must lead to public addresses.
    guarded: Client,
    /// For those that may lead anywhere.
    free: Client,
    max_bytes: usize,
}

impl Http {
    /// # Errors
    /// [`FetchError::Failed`] when TLS cannot be set up.
    pub(super) fn new(settings: &Settings, lookup: &Arc<dyn Lookup>) -> Result<Self, FetchError> {
        let client = |allow_private| {
            Client::builder()
                .dns_resolver(Arc::new(Resolver { lookup: Arc::clone(lookup), allow_private }))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .timeout(settings.timeout)
                // Keys are asked for seldom; a connection that waits for the next time only goes stale.
                .pool_max_idle_per_host(0)
                .user_agent(concat!("mintage/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(failed)
        };
        Ok(Self { guarded: client(false)?, free: client(true)?, max_bytes: settings.max_bytes })
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// [`FetchError`].
    pub(super) async fn get(&self, target: Target) -> Result<Document, FetchError> {
        let client = if target.allow_private { &self.free } else { &self.guarded };
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        let mut response = client.get(target.url).header(ACCEPT, accept).send().await.map_err(failed)?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Failed(format!("the server redirects (status {})", status.as_u16())));
        }
        if status != StatusCode::OK {
            return Err(FetchError::Failed(format!("the server answered with status {}", status.as_u16())));
        }
        let too_long = || FetchError::Failed(format!("the answer is longer than {} bytes", self.max_bytes));
        if response.content_length().is_some_and(|length| length > self.max_bytes as u64) {
            return Err(too_long());
        }
        let lifetime = lifetime::of(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Document { body, lifetime })
    }
}

/// The innermost cause says most: "connection refused" rather than "error sending request".
#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn failed(error: reqwest::Error) -> FetchError {
    if error.is_timeout() {
        return FetchError::Failed("the server did not answer in time".to_owned());
    }
    let first: &(dyn std::error::Error + 'static) = &error;
    let innermost = std::iter::successors(Some(first), |error| error.source()).last().unwrap_or(first);
    if innermost.is::<super::resolver::NotPublic>() {
        return FetchError::Forbidden(innermost.to_string());
    }
    FetchError::Failed(innermost.to_string())
}
