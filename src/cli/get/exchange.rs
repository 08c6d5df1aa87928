//! The request of a token (RFC 6749 §4.4.2, RFC 7523 §2) and the answer to it (RFC 6749 §5).

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{StatusCode, header::HeaderMap};
use serde::Deserialize;

use super::{
    Arguments, AssertionType,
    credentials::{Credentials, Proof},
    endpoint::{Endpoint, printable},
    proof,
};
use crate::{
    cli::{http, output::Failure},
    clock::{Clock, SystemClock},
    random::SystemRandom,
    secret::Secret,
};

/// The largest answer that is read, in bytes.
const MAX_LENGTH: usize = 256 * 1024;

const JWT_BEARER_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A request that is ready to be made.
pub(super) struct Exchange<'a> {
    pub(super) http: &'a reqwest::Client,
    pub(super) endpoint: &'a Endpoint,
    pub(super) arguments: &'a Arguments,
    pub(super) credentials: &'a Credentials,
}

/// RFC 6749 §5.2
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
    error_description: Option<String>,
}

impl Exchange<'_> {
    /// Asks, and once more when the server wants its nonce in the proof (RFC 9449 §8). The body of the answer.
    ///
    /// # Errors
    /// A sentence with the error of the server, or why there was no answer.
    pub(super) async fn run(&self) -> Result<Vec<u8>, Failure> {
        let (mut status, mut headers, mut body) = self.ask(None).await?;
        let nonce = headers.get("dpop-nonce").and_then(|nonce| nonce.to_str().ok());
        let wants_nonce = refusal(&body).is_some_and(|refusal| refusal.error == "use_dpop_nonce");
        if let (true, true, Some(nonce)) = (self.credentials.dpop_key.is_some(), wants_nonce, nonce) {
            let nonce = nonce.to_owned();
            (status, headers, body) = self.ask(Some(&nonce)).await?;
        }
        if status == StatusCode::OK { Ok(body) } else { Err(self.refused(status, &headers, &body)) }
    }

    /// Everything signed is made anew, since nothing of it is accepted twice.
    async fn ask(&self, nonce: Option<&str>) -> Result<(StatusCode, HeaderMap, Vec<u8>), Failure> {
        let url = &self.endpoint.url;
        let mut request = self
            .http
            .post(url.clone())
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Proof::Basic(secret) = &self.credentials.proof {
            request = request.header("authorization", self.basic(secret));
        }
        if let Some(key) = &self.credentials.dpop_key {
            request = request.header("dpop", proof::dpop(key, url, nonce, SystemClock.now(), &SystemRandom)?);
        }
        let response = request.body(self.form()?).send().await.map_err(|error| {
            let cause = http::innermost(&error);
            Failure::failed(format!(
                "{url} does not answer ({cause}); start the server, or correct --url or --ca"
            ))
        })?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = http::body(response, MAX_LENGTH).await;
        let body =
            body.map_err(|problem| Failure::failed(format!("the answer of {url} {problem}; try again")))?;
        Ok((status, headers, body))
    }

    fn form(&self) -> Result<String, Failure> {
        let (arguments, credentials) = (self.arguments, self.credentials);
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        match &credentials.grant_assertion {
            None => form.append_pair("grant_type", "client_credentials"),
            Some(assertion) => {
                form.append_pair("grant_type", JWT_BEARER_GRANT).append_pair("assertion", assertion.expose())
            }
        };
        // With Basic the header says it.
        if let (Some(client_id), false) =
            (&credentials.client_id, matches!(credentials.proof, Proof::Basic(_)))
        {
            form.append_pair("client_id", client_id);
        }
        match &credentials.proof {
            Proof::Post(secret) => {
                form.append_pair("client_secret", secret.expose());
            }
            Proof::Signed { key, kid } => {
                let client_id = credentials.client_id.as_deref().unwrap_or_default();
                let (now, who) = (SystemClock.now(), (client_id, self.audience()?));
                let assertion = proof::assertion(key, kid.as_deref(), who, now, &SystemRandom)?;
                form.append_pair("client_assertion_type", AssertionType::JwtBearer.urn());
                form.append_pair("client_assertion", &assertion);
            }
            Proof::Given { assertion, kind } => {
                form.append_pair("client_assertion_type", kind.urn());
                form.append_pair("client_assertion", assertion.expose());
            }
            Proof::Basic(_) | Proof::Nothing => {}
        }
        form.extend_pairs(arguments.scope.iter().map(|scope| ("scope", scope)));
        form.extend_pairs(arguments.resource.iter().map(|resource| ("resource", resource)));
        form.extend_pairs(arguments.audience.iter().map(|audience| ("audience", audience)));
        Ok(form.finish())
    }

    /// To whom an assertion is said. A guess would be an assertion for somebody else.
    fn audience(&self) -> Result<&str, Failure> {
        let named = self.arguments.assertion_audience.as_deref().or(self.endpoint.issuer.as_deref());
        named.ok_or_else(|| {
            Failure::failed(
                "there are no metadata that name the issuer; set --assertion-audience, or --url to the issuer",
            )
        })
    }

    /// RFC 6749 §2.3.1: both are form-encoded first.
    fn basic(&self, secret: &Secret<String>) -> String {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let client_id = self.credentials.client_id.as_deref().unwrap_or_default();
        let pair = Secret::new(format!("{}:{}", encoded(client_id), encoded(secret.expose())));
        format!("Basic {}", BASE64_STANDARD.encode(pair.expose()))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
        let Some(Refusal { error, error_description }) = refusal(body) else {
            let (url, status) = (&self.endpoint.url, status.as_u16());
            return Failure::failed(format!(
                "{url} answered with status {status} and no OAuth error; correct --url"
            ));
        };
        let description = error_description.map(|text| format!(" ({})", printable(&text)));
        let wait = headers.get("retry-after").and_then(|wait| wait.to_str().ok());
        let advice = match (error.as_str(), wait) {
            (_, Some(wait)) => format!("try again in {} s", printable(wait)),
            ("invalid_client", None) => "the log of the server tells why".to_owned(),
            _ => "correct the request".to_owned(),
        };
        let (error, description) = (printable(&error), description.unwrap_or_default());
        Failure::failed(format!("the server refused: {error}{description}; {advice}"))
    }
}

impl AssertionType {
    const fn urn(self) -> &'static str {
        match self {
            Self::JwtBearer => "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            Self::JwtSpiffe => "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe",
        }
    }
}

fn refusal(body: &[u8]) -> Option<Refusal> {
    serde_json::from_slice(body).ok()
}
