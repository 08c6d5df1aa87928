//! The JWS compact serialization, read strictly (RFC 7515 §5.2, RFC 8725 §3).
//!
//! A text becomes a [`UnverifiedJws`] by shape alone, and only [`UnverifiedJws::verify`] gives access to the payload: what
//! has not been verified cannot be read by accident. Headers that carry keys or point at them are never followed: `jku`
//! and `jwk` are kept as text for the two rules that compare them (SMART's `jku`, DPoP's `jwk`), `x5c` and `x5u` are not
//! read at all; `crit` is refused, since this server understands no extension.

use serde_json::value::RawValue;

use super::{
    JwsAlgorithm, VerificationKey, base64url_decode,
    json::{InvalidJson, Members},
};

/// The longest compact serialization that is looked at, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;

/// The protected header, as far as this server reads it.
#[derive(Clone, Debug)]
pub struct Header {
    /// RFC 7515 §4.1.1. Not trusted: it must equal the algorithm of the key.
    pub alg: String,
    /// RFC 7515 §4.1.4.
    pub kid: Option<String>,
    /// RFC 7515 §4.1.9.
    pub typ: Option<String>,
    /// RFC 7515 §4.1.2: a URL that is compared with a registered one, and never fetched.
    pub jku: Option<String>,
    /// RFC 7515 §4.1.3: the JSON as it was written, for [`super::jwk::EmbeddedKey`] alone (RFC 9449 §4.2).
    pub jwk: Option<Box<RawValue>>,
}

impl Header {
    /// The algorithm `alg` names, if it is one this server can verify.
    pub fn algorithm(&self) -> Option<JwsAlgorithm> {
        self.alg.parse().ok()
    }
}

/// A text in three parts, of which only the signature was decoded.
#[derive(Debug)]
pub struct CompactJws<'a> {
    header: &'a str,
    signing_input: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

/// A well-formed text whose signature nobody has checked.
#[derive(Debug)]
pub struct UnverifiedJws<'a> {
    header: Header,
    text: CompactJws<'a>,
}

/// Why a text is refused before or during verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJws {
    /// Longer than [`MAX_LENGTH`].
    #[error("it is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Not three base64url parts.
    #[error("it does not have the three base64url parts of a signed JWT")]
    Shape,
    /// The header is not a JSON object of the right types.
    #[error("its header is malformed: {0}")]
    Header(InvalidJson),
    /// The header has a `crit` member.
    #[error("its header demands an extension (crit) that is not supported")]
    Critical,
    /// `alg` is not the algorithm of the key.
    #[error("its alg is not the algorithm of the key")]
    Algorithm,
    /// The signature does not fit.
    #[error("its signature is wrong")]
    Signature,
}

impl<'a> CompactJws<'a> {
    /// Splits a text.
    ///
    /// # Errors
    /// [`InvalidJws::TooLong`] before anything is split, [`InvalidJws::Shape`].
    pub fn split(text: &'a str) -> Result<Self, InvalidJws> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidJws::TooLong);
        }
        let mut dots = memchr::memchr_iter(b'.', text.as_bytes());
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(InvalidJws::Shape);
        };
        let signature = &text[second + 1..];
        if signature.is_empty() {
            return Err(InvalidJws::Shape);
        }
        Ok(Self {
            header: &text[..first],
            signing_input: &text[..second],
            payload: &text[first + 1..second],
            signature: base64url_decode(signature).ok_or(InvalidJws::Shape)?,
        })
    }

    /// The header as it came.
    pub fn encoded_header(&self) -> &'a str {
        self.header
    }

    /// Checks the signature and gives out the payload, for who knows from the encoded header that this is the key, and its
    /// algorithm.
    ///
    /// # Errors
    /// [`InvalidJws::Signature`], or [`InvalidJws::Shape`] when the payload is not base64url.
    pub fn verify(&self, key: &VerificationKey) -> Result<Vec<u8>, InvalidJws> {
        key.verify(self.signing_input.as_bytes(), &self.signature).map_err(|_| InvalidJws::Signature)?;
        self.payload()
    }

    fn payload(&self) -> Result<Vec<u8>, InvalidJws> {
        base64url_decode(self.payload).ok_or(InvalidJws::Shape)
    }
}

impl<'a> UnverifiedJws<'a> {
    /// Reads a text by shape; no cryptography happens.
    ///
    /// # Errors
    /// Those of [`CompactJws::split`], and of [`UnverifiedJws::read`].
    pub fn parse(text: &'a str) -> Result<Self, InvalidJws> {
        Self::read(CompactJws::split(text)?)
    }

    /// Reads the header.
    ///
    /// # Errors
    /// [`InvalidJws::Shape`] when it is not base64url, [`InvalidJws::Header`], [`InvalidJws::Critical`].
    pub fn read(text: CompactJws<'a>) -> Result<Self, InvalidJws> {
        let header = base64url_decode(text.header).ok_or(InvalidJws::Shape)?;
        Ok(Self { header: read_header(&header)?, text })
    }

    /// The header, to choose the key by. Nothing in it is trusted.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload without any check, for a person who wants to look at it.
    ///
    /// # Errors
    /// [`InvalidJws::Shape`] when it is not base64url.
    pub fn unverified_payload(&self) -> Result<Vec<u8>, InvalidJws> {
        self.text.payload()
    }

    /// Checks the signature and gives out the payload.
    ///
    /// # Errors
    /// [`InvalidJws::Algorithm`], [`InvalidJws::Signature`], or [`InvalidJws::Shape`] when the payload is not base64url.
    pub fn verify(&self, key: &VerificationKey) -> Result<Vec<u8>, InvalidJws> {
        if self.header.algorithm() != Some(key.alg()) {
            return Err(InvalidJws::Algorithm);
        }
        self.text.verify(key)
    }
}

fn read_header(bytes: &[u8]) -> Result<Header, InvalidJws> {
    let members = Members::parse(bytes).map_err(InvalidJws::Header)?;
    if members.get("crit").is_some() || members.get("b64").is_some() {
        return Err(InvalidJws::Critical);
    }
    let read = || {
        Ok(Header {
            alg: members.required("alg")?,
            kid: members.optional("kid")?,
            typ: members.optional("typ")?,
            jku: members.optional("jku")?,
            jwk: members.get("jwk").map(ToOwned::to_owned),
        })
    };
    read().map_err(InvalidJws::Header)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jose::{SigningAlgorithm, SigningKey, base64url};

    fn key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::ES256).unwrap()
    }

    fn parse(text: &str) -> InvalidJws {
        UnverifiedJws::parse(text).unwrap_err()
    }

    #[test]
    fn a_signed_text_gives_its_payload_back() {
        let key = key();
        let token = key.sign_access_token(b"{\"a\":1}").unwrap();
        let jws = UnverifiedJws::parse(&token).unwrap();
        assert_eq!(jws.header().kid.as_deref(), Some(key.kid()));
        assert_eq!(jws.header().typ.as_deref(), Some("at+jwt"));
        assert_eq!(jws.verify(key.verification_key()).unwrap(), b"{\"a\":1}");
        assert_eq!(jws.verify(self::key().verification_key()), Err(InvalidJws::Signature));
    }

    // CHK-71, V-10
    #[test]
    fn only_three_canonical_parts_are_read() {
        let token = key().sign_access_token(b"{}").unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts[..] else { panic!("three parts") };
        let stray_bits = |part: &str| {
            let mut part = part.to_owned();
            let last = part.pop().unwrap();
            // 64 bytes leave 4 unused bits in the last character; the encoder sets them to zero.
            part.push(if last == 'A' { 'B' } else { char::from(last as u8 + 1) });
            part
        };
        for text in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{header}.{payload}.{signature}.x"),
            format!("{header}.{payload}.{signature}.x.y"),
            format!("{header}.{payload}.{signature}="),
            format!("{header}.{payload}.{signature}=="),
            format!(" {header}.{payload}.{signature}"),
            format!("{header}.{payload}.{signature}\n"),
            format!("{header}.{payload}.{}", stray_bits(signature)),
            format!("{header}.{payload}.+/{}", &signature[2..]),
        ] {
            assert_eq!(parse(&text), InvalidJws::Shape, "{text}");
        }
    }

    // V-9
    #[test]
    fn length_is_checked_first() {
        assert_eq!(parse(&".".repeat(1024 * 1024)), InvalidJws::TooLong);
    }

    // V-5, CHK-72
    #[test]
    fn crit_is_refused_whatever_it_says() {
        for crit in [r#"["x"]"#, "[]", r#"["exp"]"#, r#"["b64"],"b64":false"#, "null"] {
            let header = base64url(format!(r#"{{"alg":"ES256","crit":{crit}}}"#));
            assert_eq!(parse(&format!("{header}.e30.AA")), InvalidJws::Critical, "{crit}");
        }
    }

    // V-6, V-14, CHK-73
    #[test]
    fn header_members_have_their_types_and_appear_once() {
        for header in [
            r#"{"alg":1}"#,
            r#"{"kid":"a"}"#,
            r#"{"alg":"ES256","kid":7}"#,
            r#"{"alg":"ES256","jku":{}}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            "[]",
        ] {
            let text = format!("{}.e30.AA", base64url(header));
            assert!(matches!(parse(&text), InvalidJws::Header(_)), "{header}");
        }
    }

    // V-1, V-8, CHK-74
    #[test]
    fn the_algorithm_is_that_of_the_key() {
        let key = key();
        for alg in ["none", "None", "nOnE", "HS256", "ES384", "XX256", "es256", ""] {
            let header = base64url(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{}"}}"#, key.kid()));
            let text = format!("{header}.e30.AAAA");
            let jws = UnverifiedJws::parse(&text).unwrap();
            assert_eq!(jws.verify(key.verification_key()), Err(InvalidJws::Algorithm), "{alg}");
        }
    }

    // CHK-75
    #[test]
    fn a_key_in_the_header_verifies_nothing() {
        let (own, foreign) = (key(), key());
        let header =
            serde_json::json!({ "jwk": foreign.jwk(), "jku": "https://evil.example", "kid": own.kid() });
        let text = foreign.private_key().sign(header.as_object().unwrap().clone(), b"{}").unwrap();
        let jws = UnverifiedJws::parse(&text).unwrap();
        assert_eq!(jws.verify(own.verification_key()), Err(InvalidJws::Signature));
        assert_eq!(jws.header().jku.as_deref(), Some("https://evil.example"));
        assert!(jws.header().jwk.as_ref().unwrap().get().contains("P-256"));
    }

    // RFC 8037 App. A.4, and RFC 9864 §2.2
    #[test]
    fn ed25519_has_two_names() {
        let x = base64url_decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let public = VerificationKey::elliptic(String::new(), JwsAlgorithm::EdDSA, &x).unwrap();
        let text = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
            hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let payload = UnverifiedJws::parse(text).unwrap().verify(&public).unwrap();
        assert_eq!(payload, b"Example of Ed25519 signing");

        let key = SigningKey::generate(SigningAlgorithm::EdDSA).unwrap();
        let signed = format!("{}.e30", base64url(r#"{"alg":"Ed25519"}"#));
        let signature = key.private_key().sign_bytes(signed.as_bytes()).unwrap();
        let text = format!("{signed}.{}", base64url(signature));
        assert!(UnverifiedJws::parse(&text).unwrap().verify(key.verification_key()).is_ok());
    }

    // RFC 7515 App. A.3
    #[test]
    fn the_es256_example_of_the_rfc() {
        let coordinate = |text| base64url_decode(text).unwrap();
        let x = coordinate("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = coordinate("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let point = [vec![4], x, y].concat();
        let key = VerificationKey::elliptic(String::new(), JwsAlgorithm::ES256, &point).unwrap();
        let text = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19\
            yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        assert!(UnverifiedJws::parse(text).unwrap().verify(&key).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}") {
            let _ = UnverifiedJws::parse(&text);
        }

        #[test]
        fn any_dotted_text_is_read_or_refused(text in "[A-Za-z0-9_=.+/-]{0,200}") {
            let _ = UnverifiedJws::parse(&text);
        }
    }
}
