//! What a request presents to authenticate its client (RFC 6749 §2.3): one method, read alike for every transport.

use base64::engine::{Engine, general_purpose::STANDARD};

use super::{ClientId, TokenEndpointAuthMethod};
use crate::{
    form_encoding,
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
    /// Whether `client_assertion` or its type was sent (RFC 7521 §4.2).
    pub client_assertion: bool,
}

/// A readable claim to be a client, not yet verified.
#[derive(Clone, Debug)]
pub struct ClientAuthentication {
    pub(super) client_id: ClientId,
    pub(super) secret: Secret<String>,
    pub(super) method: TokenEndpointAuthMethod,
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
        let PresentedCredentials { authorization, client_id, client_secret, client_assertion } = presented;
        let methods = usize::from(!authorization.is_empty())
            + usize::from(client_secret.is_some())
            + usize::from(client_assertion);
        if methods > 1 {
            return Err(Error::invalid_request(
                "only one method of client authentication may be used in a request",
            ));
        }
        if client_assertion {
            return Err(Error::InvalidClient(ClientRefusal::UnsupportedMethod));
        }
        match (&authorization[..], client_secret) {
            ([], None) => Err(Error::InvalidClient(ClientRefusal::NoCredentials)),
            ([], Some(secret)) => {
                let client_id = client_id
                    .ok_or_else(|| Error::invalid_request("client_secret was sent without client_id"))?;
                let client_id = ClientId::parse(&client_id).map_err(|_| malformed())?;
                Ok(Self { client_id, secret, method: TokenEndpointAuthMethod::ClientSecretPost })
            }
            ([header], _) => {
                let this = Self::read_basic(header.expose())?;
                if client_id.is_some_and(|client_id| client_id != this.client_id.as_str()) {
                    return Err(Error::invalid_request("client_id is not the one that authenticates"));
                }
                Ok(this)
            }
            // Two headers: a proxy and a server that read different ones would authenticate different clients (V-39).
            ([_, ..], _) => Err(malformed()),
        }
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
        Ok(Self { client_id, secret, method: TokenEndpointAuthMethod::ClientSecretBasic })
    }
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

    fn header(value: &str) -> Result<ClientAuthentication, Error> {
        let authorization = vec![Secret::from(value)];
        ClientAuthentication::read(PresentedCredentials { authorization, ..Default::default() })
    }

    // CHK-22, CHK-23, V-24
    #[test]
    fn basic_parts_are_form_decoded() {
        let read = basic("a%3Ab+c:p%25%2B%3A%2F%3D%20x").unwrap();
        assert_eq!(read.client_id.as_str(), "a:b c");
        assert_eq!(read.secret.expose(), "p%+:/= x");
        assert_eq!(basic("id:a:b").unwrap().secret.expose(), "a:b");
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
            client_assertion: assertion,
        };
        let refused = |presented| ClientAuthentication::read(presented).unwrap_err().code();
        assert_eq!(refused(presented(1, true, false)), "invalid_request");
        assert_eq!(refused(presented(0, true, true)), "invalid_request");
        assert_eq!(refused(presented(1, false, true)), "invalid_request");
        assert_eq!(refused(presented(2, false, false)), "invalid_client");
        assert_eq!(refused(presented(0, false, true)), "invalid_client");
        assert_eq!(refused(presented(0, false, false)), "invalid_client");
        assert!(ClientAuthentication::read(presented(1, false, false)).is_ok());
        assert!(ClientAuthentication::read(presented(0, true, false)).is_ok());
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
