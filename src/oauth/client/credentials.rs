//! What a request presents to authenticate its client (RFC 6749 §2.3): one method, read alike for every transport.

use base64::engine::{Engine, general_purpose::STANDARD};

use super::{ClientId, TokenEndpointAuthMethod};
use crate::{
    form_encoding,
    jose::{json::Members, jws::UnverifiedJws},
    oauth::error::{ClientRefusal, Error},
    secret::Secret,
};

/// The parts of a request that may authenticate a client, as the transport found them. Empty values count as absent
/// (RFC 6749 §3.2), and leaving them out is the transport's part.
#[derive(Clone, Debug, Default)]
pub struct PresentedCredentials {
    /// Every `Authorization` header or `authorization` metadata value.
    pub authorization: Vec<Secret<String>>,
    /// `client_id` beside the credentials.
    pub client_id: Option<String>,
    /// `client_secret` as a parameter.
    pub client_secret: Option<Secret<String>>,
    /// `client_assertion` (RFC 7521 §4.2)
    pub client_assertion: Option<Secret<String>>,
    /// `client_assertion_type` (RFC 7521 §4.2)
    pub client_assertion_type: Option<String>,
    /// Whether the connection has a client certificate (RFC 8705 §2).
    pub certificate: bool,
    /// `assertion` of the grant of RFC 7523 §2.1, when it is that grant.
    pub grant_assertion: Option<Secret<String>>,
}

/// Checks that a `client_id` beside what authenticates names the client that does (RFC 6749 §2.3.1).
///
/// # Errors
/// [`Error::InvalidRequest`].
pub fn check_client_id(beside: Option<&str>, authenticates: &str) -> Result<(), Error> {
    match beside {
        Some(other) if other != authenticates => {
            Err(Error::invalid_request("client_id is not the one that authenticates"))
        }
        _ => Ok(()),
    }
}

/// A readable claim to be a client, not yet verified.
#[derive(Clone, Debug)]
pub struct ClientAuthentication {
    pub(super) client_id: ClientId,
    pub(super) proof: Proof,
}

/// What is presented as the proof.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// The client's secret.
    Secret {
        secret: Secret<String>,
        /// client_secret_basic or client_secret_post
        method: TokenEndpointAuthMethod,
    },
    /// A JWT, of which nothing has been checked but that its `sub` can be read when `client_id` was not sent.
    Assertion { assertion: Secret<String>, kind: AssertionKind },
    /// The certificate of the connection.
    Certificate,
    /// Nothing but the assertion that is the grant (RFC 7521 §4.1: authentication of the client beside it is optional).
    Grant { assertion: Secret<String> },
}

/// `client_assertion_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AssertionKind {
    /// RFC 7523 §2.2
    JwtBearer,
    /// A JWT-SVID (OAuth SPIFFE client authentication)
    JwtSpiffe,
}

impl AssertionKind {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" => Some(Self::JwtBearer),
            "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe" => Some(Self::JwtSpiffe),
            _ => None,
        }
    }
}

impl ClientAuthentication {
    /// The identifier somebody claims, for logs and limits.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// Reads presented credentials.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] for more than one method (RFC 6749 §2.3) and for contradictions,
    /// [`Error::InvalidClient`] for none and for credentials that cannot be read.
    pub fn read(presented: PresentedCredentials) -> Result<Self, Error> {
        let PresentedCredentials { authorization, client_id, client_secret, .. } = presented;
        let (assertion, kind) = (presented.client_assertion, presented.client_assertion_type);
        let methods = usize::from(!authorization.is_empty())
            + usize::from(client_secret.is_some())
            + usize::from(assertion.is_some() || kind.is_some());
        if methods > 1 {
            return Err(Error::invalid_request(
                "only one method of client authentication may be used in a request",
            ));
        }
        match (&authorization[..], client_secret, assertion, kind) {
            ([], None, None, None) if presented.grant_assertion.is_some() => {
                Self::read_grant(client_id.as_deref(), presented.grant_assertion)
            }
            ([], None, None, None) if presented.certificate => Self::read_certificate(client_id.as_deref()),
            ([], None, None, None) => Err(Error::InvalidClient(ClientRefusal::NoCredentials)),
            ([], Some(secret), ..) => {
                let client_id = client_id
                    .ok_or_else(|| Error::invalid_request("client_secret was sent without client_id"))?;
                let client_id = ClientId::parse(&client_id).map_err(|_| malformed())?;
                let method = TokenEndpointAuthMethod::ClientSecretPost;
                Ok(Self { client_id, proof: Proof::Secret { secret, method } })
            }
            ([], None, Some(assertion), Some(kind)) => Self::read_assertion(client_id, assertion, &kind),
            ([], None, ..) => Err(Error::invalid_request(
                "client_assertion and client_assertion_type belong together; one of the two is missing",
            )),
            ([header], ..) => {
                let this = Self::read_basic(header.expose())?;
                check_client_id(client_id.as_deref(), this.client_id.as_str())?;
                Ok(this)
            }
            // Two headers: a proxy and a server that read different ones would authenticate different clients (V-39).
            ([_, ..], ..) => Err(malformed()),
        }
    }

    /// Without a certificate that names one client alone, somebody has to say which (RFC 8705 §2; CHK-112).
    fn read_certificate(client_id: Option<&str>) -> Result<Self, Error> {
        let client_id = client_id.ok_or_else(|| {
            Error::invalid_request("client_id is missing; a client certificate needs it beside it")
        })?;
        let client_id = ClientId::parse(client_id).map_err(|_| malformed())?;
        Ok(Self { client_id, proof: Proof::Certificate })
    }

    /// The subject of the assertion may be one of several clients, so that the request has to say which.
    fn read_grant(client_id: Option<&str>, assertion: Option<Secret<String>>) -> Result<Self, Error> {
        let client_id = client_id.ok_or_else(|| {
            Error::invalid_request("client_id is missing; it says which client the assertion is for")
        })?;
        let client_id = ClientId::parse(client_id).map_err(|_| malformed())?;
        let assertion = assertion.ok_or_else(malformed)?;
        Ok(Self { client_id, proof: Proof::Grant { assertion } })
    }

    /// RFC 7521 §4.2: `client_id` is optional, and must then name the subject of the assertion; whether it does is checked
    /// with the signature.
    fn read_assertion(
        client_id: Option<String>,
        assertion: Secret<String>,
        kind: &str,
    ) -> Result<Self, Error> {
        let unsupported = Error::InvalidClient(ClientRefusal::UnsupportedMethod);
        let kind = AssertionKind::parse(kind).ok_or(unsupported)?;
        let client_id = match client_id {
            Some(client_id) => client_id,
            None => unverified_subject(assertion.expose()).ok_or_else(malformed)?,
        };
        let client_id = ClientId::parse(&client_id).map_err(|_| malformed())?;
        Ok(Self { client_id, proof: Proof::Assertion { assertion, kind } })
    }

    /// Reads `Basic` credentials: each part is form-encoded before the pair is (RFC 6749 §2.3.1, RFC 7617 §2).
    fn read_basic(header: &str) -> Result<Self, Error> {
        let (scheme, encoded) = header.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err(Error::InvalidClient(ClientRefusal::UnsupportedMethod));
        }
        let decoded = STANDARD.decode(encoded.trim_start_matches(' ')).map_err(|_| malformed())?;
        let decoded = Secret::new(String::from_utf8(decoded).map_err(|_| malformed())?);
        // The encoding of the parts leaves no colon in the identifier, so the first one separates.
        let (client_id, secret) = decoded.expose().split_once(':').ok_or_else(malformed)?;
        let client_id = form_encoding::decode(client_id).map_err(|_| malformed())?;
        let secret = Secret::new(form_encoding::decode(secret).map_err(|_| malformed())?);
        if secret.expose().is_empty() {
            return Err(malformed());
        }
        let client_id = ClientId::parse(&client_id).map_err(|_| malformed())?;
        let method = TokenEndpointAuthMethod::ClientSecretBasic;
        Ok(Self { client_id, proof: Proof::Secret { secret, method } })
    }
}

/// `sub` of a JWT that nobody has verified: whom it claims to be of.
fn unverified_subject(assertion: &str) -> Option<String> {
    let payload = UnverifiedJws::parse(assertion).ok()?.unverified_payload().ok()?;
    Members::parse(&payload).ok()?.required("sub").ok()
}

fn malformed() -> Error {
    Error::InvalidClient(ClientRefusal::MalformedCredentials)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn basic(pair: &str) -> Result<ClientAuthentication, Error> {
        header(&format!("Basic {}", STANDARD.encode(pair)))
    }

    fn secret_of(read: &ClientAuthentication) -> &str {
        match &read.proof {
            Proof::Secret { secret, .. } => secret.expose(),
            other => panic!("{other:?}"),
        }
    }

    fn header(value: &str) -> Result<ClientAuthentication, Error> {
        let authorization = vec![Secret::from(value)];
        ClientAuthentication::read(PresentedCredentials { authorization, ..Default::default() })
    }

    // CHK-22, CHK-23, V-24
    #[test]
    fn basic_parts_are_form_decoded() {
        let read = basic("a%3Ab+c:p%25%2B%3A%2F%3D%20x").unwrap();
        assert_eq!(read.client_id.as_str(), "a:b c");
        assert_eq!(secret_of(&read), "p%+:/= x");
        assert_eq!(secret_of(&basic("id:a:b").unwrap()), "a:b");
    }

    // CHK-24, V-23, V-24
    #[test]
    fn unreadable_basic_credentials_are_refused() {
        for pair in ["", "id", ":secret", "id:", "id:100%", "id:%zz", "%ff:secret", "id:%ff"] {
            assert_eq!(basic(pair).unwrap_err(), malformed(), "{pair}");
        }
        for value in
            ["Basic", "Basic ", "Basic ?", "Basic aWQ6c2VjcmV0=", "Basic aWQ6c2VjcmV0 x", "Basic /w=="]
        {
            assert_eq!(header(value).unwrap_err(), malformed(), "{value}");
        }
        assert!(header("basic aWQ6c2VjcmV0").is_ok());
        assert_eq!(header("Bearer x").unwrap_err(), Error::InvalidClient(ClientRefusal::UnsupportedMethod));
    }

    // CHK-19, CHK-20, V-13, V-39
    #[test]
    fn one_method_per_request() {
        let presented = |headers: usize, secret: bool, assertion: bool| PresentedCredentials {
            authorization: vec![Secret::from("Basic aWQ6c2VjcmV0"); headers],
            client_id: Some("id".to_owned()),
            client_secret: secret.then(|| Secret::from("secret")),
            client_assertion: assertion.then(|| Secret::from("e30.e30.AA")),
            client_assertion_type: assertion
                .then(|| "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            certificate: false,
            grant_assertion: None,
        };
        let refused = |presented| ClientAuthentication::read(presented).unwrap_err().code();
        assert_eq!(refused(presented(1, true, false)), "invalid_request");
        assert_eq!(refused(presented(0, true, true)), "invalid_request");
        assert_eq!(refused(presented(1, false, true)), "invalid_request");
        assert_eq!(refused(presented(2, false, false)), "invalid_client");
        assert_eq!(refused(presented(0, false, false)), "invalid_client");
        assert!(ClientAuthentication::read(presented(0, false, true)).is_ok());
        // A certificate of the connection is no second method.
        for (headers, secret, assertion) in [(1, false, false), (0, true, false), (0, false, true)] {
            let presented =
                PresentedCredentials { certificate: true, ..presented(headers, secret, assertion) };
            assert!(!matches!(ClientAuthentication::read(presented).unwrap().proof, Proof::Certificate));
        }
        assert!(ClientAuthentication::read(presented(1, false, false)).is_ok());
        assert!(ClientAuthentication::read(presented(0, true, false)).is_ok());
    }

    // CHK-57, CHK-58
    #[test]
    fn an_assertion_has_a_type_that_is_known() {
        let read = |assertion: Option<&str>, kind: Option<&str>| {
            ClientAuthentication::read(PresentedCredentials {
                client_id: Some("id".to_owned()),
                client_assertion: assertion.map(Secret::from),
                client_assertion_type: kind.map(str::to_owned),
                ..Default::default()
            })
        };
        let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        assert!(read(Some("x"), Some(jwt_bearer)).is_ok());
        assert_eq!(read(Some("x"), None).unwrap_err().code(), "invalid_request");
        assert_eq!(read(None, Some(jwt_bearer)).unwrap_err().code(), "invalid_request");
        assert_eq!(read(Some("x"), Some("jwt-bearer")).unwrap_err().code(), "invalid_client");
    }

    // RFC 7521 §4.1
    #[test]
    fn a_grant_may_stand_alone_and_then_names_its_client() {
        let presented = PresentedCredentials {
            grant_assertion: Some("x".into()),
            certificate: true,
            ..PresentedCredentials::default()
        };
        assert_eq!(ClientAuthentication::read(presented.clone()).unwrap_err().code(), "invalid_request");
        let presented = PresentedCredentials { client_id: Some("id".to_owned()), ..presented };
        assert!(matches!(ClientAuthentication::read(presented.clone()).unwrap().proof, Proof::Grant { .. }));
        let presented = PresentedCredentials { client_secret: Some("secret".into()), ..presented };
        assert!(matches!(ClientAuthentication::read(presented).unwrap().proof, Proof::Secret { .. }));
    }

    // CHK-112
    #[test]
    fn a_certificate_alone_names_no_client() {
        let presented = PresentedCredentials { certificate: true, ..Default::default() };
        assert_eq!(ClientAuthentication::read(presented.clone()).unwrap_err().code(), "invalid_request");
        let presented = PresentedCredentials { client_id: Some("id".to_owned()), ..presented };
        assert!(matches!(ClientAuthentication::read(presented).unwrap().proof, Proof::Certificate));
    }

    #[test]
    fn an_assertion_names_its_client_by_sub() {
        let payload = crate::jose::base64url(r#"{"sub":"me"}"#);
        let header = crate::jose::base64url(r#"{"alg":"ES256"}"#);
        let presented = PresentedCredentials {
            client_assertion: Some(Secret::new(format!("{header}.{payload}.AA"))),
            client_assertion_type: Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
            ..Default::default()
        };
        assert_eq!(ClientAuthentication::read(presented.clone()).unwrap().client_id().as_str(), "me");
        let presented = PresentedCredentials { client_assertion: Some("x".into()), ..presented };
        assert_eq!(ClientAuthentication::read(presented).unwrap_err(), malformed());
    }

    #[test]
    fn a_second_identifier_must_agree() {
        let mut presented = PresentedCredentials {
            authorization: vec![Secret::from("Basic aWQ6c2VjcmV0")],
            client_id: Some("other".to_owned()),
            ..Default::default()
        };
        assert_eq!(ClientAuthentication::read(presented.clone()).unwrap_err().code(), "invalid_request");
        presented.client_id = Some("id".to_owned());
        assert!(ClientAuthentication::read(presented).is_ok());
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(value in ".{0,100}", pair in ".{0,60}") {
            let _ = header(&value);
            let _ = basic(&pair);
        }
    }
}
