//! Refusals, read from either transport and held against the table of the contract (CHK-144).

use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A refusal, as far as both transports can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The OAuth error code.
    pub error: String,
    pub description: String,
    /// In how many seconds, rounded up, to try again.
    pub retry_after: Option<u64>,
    /// The nonce for the next DPoP proof.
    pub dpop_nonce: Option<String>,
}

/// Reads a status, and checks that its parts agree with each other and with the table of the contract.
pub fn from_status(status: &Status) -> Refused {
    let error =
        status.metadata().get("oauth-error").expect("the oauth-error trailer").to_str().unwrap().to_owned();
    let info = status.get_details_error_info().expect("google.rpc.ErrorInfo");
    assert_eq!(info.reason, error.to_ascii_uppercase());
    assert_eq!(info.domain, "mintage");
    assert_eq!(info.metadata["oauth_error"], error);
    let codes: &[Code] = match error.as_str() {
        "invalid_client" | "invalid_token" | "invalid_dpop_proof" | "use_dpop_nonce" => {
            &[Code::Unauthenticated]
        }
        "unauthorized_client" | "insufficient_scope" => &[Code::PermissionDenied],
        // Too many requests, or no store.
        "temporarily_unavailable" => &[Code::ResourceExhausted, Code::Unavailable],
        "server_error" => &[Code::Internal],
        _ => &[Code::InvalidArgument],
    };
    assert!(codes.contains(&status.code()), "{error}: {:?}", status.code());
    let retry_after = status
        .get_details_retry_info()
        .map(|info| info.retry_delay.expect("a delay").as_millis().div_ceil(1000).max(1) as u64);
    assert_eq!(retry_after.is_some(), error == "temporarily_unavailable");
    // CHK-145
    assert_eq!(status.metadata().contains_key("grpc-retry-pushback-ms"), retry_after.is_some());
    let dpop_nonce = status.metadata().get("dpop-nonce").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(dpop_nonce.is_some(), error == "use_dpop_nonce");
    Refused { error, description: status.message().to_owned(), retry_after, dpop_nonce }
}

/// Reads a response that is no success, and checks it likewise (RFC 6749 §5.2, RFC 6750 §3, RFC 7662 §2.3).
/// `authorization` says whether the request had such a header.
pub async fn from_response(response: reqwest::Response, authorization: bool) -> Refused {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let path = response.url().path().to_owned();
    let body = response.bytes().await.unwrap();
    let json: Value = serde_json::from_slice(&body).expect("an error body is JSON");
    assert_eq!(headers[CONTENT_TYPE], "application/json");
    assert_eq!(headers[CACHE_CONTROL], "no-store");
    let members: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["error", "error_description"]);

    let text = |member: &str| json[member].as_str().unwrap().to_owned();
    let (error, description) = (text("error"), text("error_description"));
    // CHK-27
    assert!(description.bytes().all(|b| matches!(b, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E)));
    let expected: &[u16] = match error.as_str() {
        "invalid_client" if path == "/token" && !authorization => &[400],
        "invalid_client" | "invalid_token" => &[401],
        "invalid_dpop_proof" | "use_dpop_nonce" if path == "/userinfo" => &[401],
        "insufficient_scope" => &[403],
        "invalid_request" => &[400, 405, 413, 415],
        "temporarily_unavailable" => &[429, 503],
        "server_error" => &[500],
        _ => &[400],
    };
    assert!(expected.contains(&status), "{path}: {status} {error}");
    let challenged = matches!(status, 401 | 403) || (path == "/userinfo" && status == 400);
    // Introspection takes either kind of credentials: with a token it is a resource, else it is not.
    if path != "/introspect" || status != 400 {
        assert_eq!(headers.contains_key(WWW_AUTHENTICATE), challenged, "{path}: {status} {error}");
    }
    let retry_after = headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().parse().unwrap());
    assert_eq!(retry_after.is_some(), error == "temporarily_unavailable");
    let dpop_nonce = headers.get("dpop-nonce").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(dpop_nonce.is_some(), error == "use_dpop_nonce");
    Refused { error, description, retry_after, dpop_nonce }
}
