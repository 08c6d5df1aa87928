//! The body of a POST: `application/x-www-form-urlencoded`, read strictly (RFC 6749 §3.2, App. B).
//!
//! A body of another type is not parsed by accident (V-40), a parameter appears once (V-39, CHK-2), an empty one counts
//! as omitted (CHK-3), and credentials in the query are refused rather than used (CHK-21).

use axum::{
    body::Body,
    http::{
        HeaderMap, Uri,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::error::Refusal;
use crate::{
    form_encoding,
    oauth::Error,
    secret::{Secret, Wipe},
};

/// The most parameters a form may have.
const MAX_PARAMETERS: usize = 128;

/// Parameters that may appear several times (RFC 8707 §2, RFC 8693 §2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// Parameters that must not travel in a URL, where logs and proxies keep them (RFC 6749 §2.3.1, RFC 9700 §4.3.2).
const NEVER_IN_QUERY: [&str; 6] =
    ["client_id", "client_secret", "client_assertion", "access_token", "token", "grant_type"];

/// The parameters of a form. Not printable: any value may be a secret.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body of at most `max_bytes`.
    pub(super) async fn read(
        headers: &HeaderMap,
        uri: &Uri,
        body: Body,
        max_bytes: usize,
    ) -> Result<Self, Refusal> {
        refuse_query(uri)?;
        if !is_form(headers) || headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Refusal::UnsupportedMediaType);
        }
        let body = Limited::new(body, max_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Refusal::PayloadTooLarge
            } else {
                Error::invalid_request("the body could not be read completely").into()
            }
        })?;
        let bytes = body.to_bytes();
        let form = std::str::from_utf8(&bytes)
            .map_err(|_| Error::invalid_request("the body is not UTF-8").into())
            .and_then(Self::parse);
        // What came in one piece is a part of hyper's buffer, and was not copied.
        if let Ok(bytes) = bytes.try_into_mut() {
            Vec::from(bytes).wipe();
        }
        form
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let mut form = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode =
                |text| form_encoding::decode(text).map_err(|error| Error::invalid_request(error.to_string()));
            let (name, value) = (decode(name)?, decode(value)?);
            if form.0.len() == MAX_PARAMETERS {
                return Err(Error::invalid_request(format!(
                    "a form has at most {MAX_PARAMETERS} parameters"
                ))
                .into());
            }
            if !REPEATABLE.contains(&name.as_str()) && form.0.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Error::invalid_request("a parameter may not be sent more than once").into());
            }
            form.0.push((name, value));
        }
        form.0.retain(|(_, value)| !value.is_empty());
        Ok(form)
    }

    /// Takes the value of a parameter out of the form.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(parameter, _)| parameter == name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes a parameter that must not be seen.
    pub(super) fn take_secret(&mut self, name: &str) -> Option<Secret<String>> {
        self.take(name).map(Secret::new)
    }

    /// Takes every value of a repeatable parameter, in order.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        self.0.extract_if(.., |(parameter, _)| parameter == name).map(|(_, value)| value).collect()
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        for (_, value) in &mut self.0 {
            value.wipe();
        }
    }
}

/// The media type is compared without case; a charset other than UTF-8 is another encoding and so another type.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else { return false };
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        && parts.filter_map(|part| part.split_once('=')).all(|(name, value)| {
            !name.trim().eq_ignore_ascii_case("charset")
                || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

/// Refuses OAuth parameters in the query.
pub(super) fn refuse_query(uri: &Uri) -> Result<(), Refusal> {
    let names =
        uri.query().unwrap_or_default().split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    for name in names {
        // A name that cannot be decoded is none of ours.
        let name = form_encoding::decode(name).unwrap_or_default();
        if NEVER_IN_QUERY.contains(&name.as_str()) {
            return Err(
                Error::invalid_request("OAuth parameters and tokens may not be sent in the query").into()
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parameters_are_taken_once() {
        let mut form =
            Form::parse("scope=a+b&resource=https%3A%2F%2Fx&resource=y&empty=&=&flag").ok().unwrap();
        assert_eq!(form.take("scope").as_deref(), Some("a b"));
        assert_eq!(form.take("scope"), None);
        assert_eq!(form.take_all("resource"), ["https://x", "y"]);
        assert_eq!(form.take("empty"), None);
    }

    // Taking one parameter must not put those that may repeat into another order.
    #[test]
    fn repeated_parameters_keep_their_order() {
        let mut form = Form::parse("scope=a&resource=1&resource=2&x=y&resource=3").ok().unwrap();
        assert_eq!(form.take("scope").as_deref(), Some("a"));
        assert_eq!(form.take_all("resource"), ["1", "2", "3"]);
    }

    // CHK-2, V-39
    #[test]
    fn repeated_parameters_are_refused() {
        for text in ["a=1&a=1", "a=1&%61=2", "scope=a&scope=", "client_id=a&client_id=b"] {
            assert!(Form::parse(text).is_err(), "{text}");
        }
        let many = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
        assert!(Form::parse(&many).is_err());
    }

    // V-40
    #[test]
    fn only_utf8_forms_are_forms() {
        let check = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            is_form(&headers)
        };
        assert!(check("application/x-www-form-urlencoded"));
        assert!(check("Application/X-WWW-Form-Urlencoded; charset=UTF-8"));
        for value in [
            "application/json",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/x-www-form-urlencoded; charset=utf-16",
            "application/x-www-form-urlencodedx",
        ] {
            assert!(!check(value), "{value}");
        }
        assert!(!is_form(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}") {
            let _ = Form::parse(&text);
        }

        #[test]
        fn any_pairs_are_read_or_refused(text in "[a-c=&%0-9+]{0,200}") {
            if let Ok(mut form) = Form::parse(&text) {
                prop_assert!(form.take("a").is_none_or(|value| !value.is_empty()));
                prop_assert!(form.take("a").is_none());
            }
        }
    }
}
