//! The URL of an issuer's key set, as its metadata names it (OpenID Connect Discovery 1.0 §4, RFC 8414 §3).

use super::FetchError;
use crate::jose::json::Members;

/// Where the metadata of an issuer is: OpenID Connect Discovery 1.0 §4, which is what clusters and CI providers serve.
pub(super) fn metadata_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// `jwks_uri` of a metadata document.
///
/// # Errors
/// [`FetchError::Failed`] when it is not the metadata of this issuer (OpenID Connect Discovery 1.0 §4.3: "MUST be
/// identical").
pub(super) fn jwks_uri(metadata: &[u8], issuer: &str) -> Result<String, FetchError> {
    let failed = |reason: &str| FetchError::Failed(format!("the metadata of the issuer {reason}"));
    let members =
        Members::parse(metadata).map_err(|_| failed("is not a JSON object with unique member names"))?;
    let named: String = members.required("issuer").map_err(|_| failed("names no issuer"))?;
    if named != issuer {
        return Err(failed("is that of another issuer"));
    }
    members.required("jwks_uri").map_err(|_| failed("names no jwks_uri"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_must_be_of_the_issuer() {
        assert_eq!(metadata_url("https://id.example"), "https://id.example/.well-known/openid-configuration");
        assert_eq!(
            metadata_url("https://id.example/a/"),
            "https://id.example/a/.well-known/openid-configuration"
        );
        let read = |text: &str| jwks_uri(text.as_bytes(), "https://id.example");
        let good = r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/keys"}"#;
        assert_eq!(read(good).unwrap(), "https://id.example/keys");
        for text in [
            r#"{"issuer":"https://id.example/","jwks_uri":"https://id.example/keys"}"#,
            r#"{"issuer":"https://evil.example","jwks_uri":"https://id.example/keys"}"#,
            r#"{"jwks_uri":"https://id.example/keys"}"#,
            r#"{"issuer":"https://id.example"}"#,
            r#"{"issuer":"https://id.example","jwks_uri":1}"#,
            r#"{"issuer":"https://id.example","jwks_uri":"a","jwks_uri":"b"}"#,
            "<html>",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
