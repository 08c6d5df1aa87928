//! What the store keeps of a client, as JSON: its registration and the hashes of its secrets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Client, ClientSecret, SecretHash,
    registration::{ClientRegistration, InvalidMember, RegistrationDefaults},
};
use crate::clock::Timestamp;

/// A client as it is kept. It holds hashes, never a secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientDocument {
    /// The members as they were registered.
    pub registration: ClientRegistration,
    /// Its secrets, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretRecord>,
    /// The hash of the token that manages the registration (RFC 7592 §1.2); only dynamically registered clients have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_access_token_hash: Option<String>,
}

/// A secret of a client. Instants are whole seconds since the epoch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRecord {
    /// Names the secret among those of the client.
    pub secret_id: String,
    /// The hash, in the form of [`super::SecretHash::to_text`].
    pub hash: String,
    /// When it was made.
    pub created_at: u64,
    /// From when it is accepted; `None`: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// From when it no longer is; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

impl fmt::Debug for ClientDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientDocument")
            .field("registration", &self.registration)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretRecord").field("secret_id", &self.secret_id).finish_non_exhaustive()
    }
}

/// A document is not that of a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDocument {
    /// It is not JSON of the expected members.
    #[error("it is not a client document: {0}")]
    Json(String),
    /// The hash of a secret cannot be read.
    #[error("the secret {secret_id:?}: {problem}")]
    Secret {
        /// Which.
        secret_id: String,
        /// What is wrong; it holds nothing of the hash.
        problem: String,
    },
    /// A member of the registration is refused.
    #[error("{0}")]
    Member(InvalidMember),
}

impl ClientDocument {
    /// Reads a document as the store keeps it.
    ///
    /// # Errors
    /// [`InvalidDocument::Json`].
    pub fn from_json(text: &str) -> Result<Self, InvalidDocument> {
        serde_json::from_str(text).map_err(|error| InvalidDocument::Json(error.to_string()))
    }

    /// The text that the store keeps.
    ///
    /// # Errors
    /// None in practice: every member has a JSON form.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The client it describes, checked as every other registration is.
    ///
    /// # Errors
    /// [`InvalidDocument::Secret`] and [`InvalidDocument::Member`], the first that was found.
    pub fn to_client(&self, defaults: &RegistrationDefaults) -> Result<Client, InvalidDocument> {
        let secrets = self.secrets.iter().map(SecretRecord::to_secret).collect::<Result<_, _>>()?;
        self.registration.clone().check_with_secrets(defaults, secrets).map_err(|problems| {
            problems.into_iter().next().map_or_else(
                || InvalidDocument::Json("nobody says what is wrong with it".to_owned()),
                InvalidDocument::Member,
            )
        })
    }
}

impl SecretRecord {
    fn to_secret(&self) -> Result<ClientSecret, InvalidDocument> {
        let hash = SecretHash::parse(&self.hash)
            .map_err(|problem| InvalidDocument::Secret { secret_id: self.secret_id.clone(), problem })?;
        Ok(ClientSecret {
            hash,
            secret_id: Some(self.secret_id.clone()),
            not_before: self.not_before.map(Timestamp::from_seconds),
            expires_at: self.expires_at.map(Timestamp::from_seconds),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;

    use super::*;
    use crate::jose::SigningAlgorithm;

    const KEYED: &str = "$hmac-sha256$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const CHOSEN: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn defaults() -> RegistrationDefaults {
        RegistrationDefaults {
            signing_alg: SigningAlgorithm::RS256,
            lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(86400),
        }
    }

    fn secret(secret_id: &str, hash: &str) -> SecretRecord {
        SecretRecord {
            secret_id: secret_id.to_owned(),
            hash: hash.to_owned(),
            created_at: 5,
            not_before: None,
            expires_at: Some(9),
        }
    }

    fn document() -> ClientDocument {
        ClientDocument {
            registration: ClientRegistration {
                client_id: "a:b c".to_owned(),
                client_name: Some("\"Bill\u{e9}\"".to_owned()),
                scope: Some("read write".to_owned()),
                access_token_lifetime: Some(Duration::from_secs(60)),
                claims: vec![
                    ("z".to_owned(), RawValue::from_string("1.50".to_owned()).unwrap()),
                    ("a".to_owned(), RawValue::from_string("{\"x\": [1]}".to_owned()).unwrap()),
                ],
                ..Default::default()
            },
            secrets: vec![secret("s1", KEYED), secret("s2", CHOSEN)],
            registration_access_token_hash: None,
        }
    }

    #[test]
    fn a_document_survives_json() {
        let text = document().to_json().unwrap();
        let read = ClientDocument::from_json(&text).unwrap();
        assert_eq!(read.to_json().unwrap(), text);
        let client = read.to_client(&defaults()).unwrap();
        assert_eq!(client.client_id.as_str(), "a:b c");
        assert_eq!(client.access_token_lifetime, Duration::from_secs(60));
        // Claims keep their order and spelling: they are signed as they were written.
        let claims: Vec<_> = client.claims.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(claims, [("z", "1.50"), ("a", "{\"x\": [1]}")]);
        assert_eq!(client.secrets.len(), 2);
        assert_eq!(client.usable_secrets(Timestamp::from_seconds(8)).count(), 2);
        assert_eq!(client.usable_secrets(Timestamp::from_seconds(9)).count(), 0);
    }

    // V-73
    #[test]
    fn no_debug_text_holds_a_hash() {
        let mut document = document();
        document.registration_access_token_hash = Some(KEYED.to_owned());
        let record = crate::oauth::store::ClientRecord {
            client_id: super::super::ClientId::parse("a:b c").unwrap(),
            enabled: true,
            document: document.to_json().unwrap(),
            revision: 1,
            created_at: Timestamp::from_seconds(5),
            updated_at: Timestamp::from_seconds(5),
        };
        let shown = format!("{document:?} {:?} {record:?}", document.secrets);
        assert!(shown.contains("s1") && shown.contains("a:b c"), "{shown}");
        assert!(!shown.contains("$hmac-sha256$") && !shown.contains("$argon2id$"), "{shown}");
    }

    #[test]
    fn a_client_without_secrets_can_be_read() {
        let document = ClientDocument { secrets: Vec::new(), ..document() };
        assert!(document.to_client(&defaults()).unwrap().secrets.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for text in ["", "{}", "[]", r#"{"registration":{"client_id":"a","secret":"x"}}"#] {
            assert!(matches!(ClientDocument::from_json(text), Err(InvalidDocument::Json(_))), "{text}");
        }
        let refused = |secrets| {
            let document = ClientDocument { secrets, ..document() };
            document.to_client(&defaults()).unwrap_err().to_string()
        };
        assert!(refused(vec![secret("s1", CHOSEN), secret("s2", CHOSEN)]).contains("only one secret"));
        assert!(refused(vec![secret("s1", KEYED), secret("s1", CHOSEN)]).contains("same secret_id"));
        assert!(refused(vec![secret("s1", "plain")]).contains("s1"));
    }

    // V-25: what the method has no use for proves nothing
    #[test]
    fn secrets_of_another_method_are_none() {
        for method in ["none", "tls_client_auth"] {
            let mut keyless = document();
            keyless.registration.token_endpoint_auth_method = Some(method.to_owned());
            keyless.registration.tls_client_auth_san_dns = Some("billing.example".to_owned());
            assert!(keyless.to_client(&defaults()).unwrap().secrets.is_empty(), "{method}");
        }
    }

    // Item by item what RFC 7591, 8705 and 9449 let somebody register beside a secret
    #[test]
    fn proof_members_survive_and_older_documents_have_none() {
        let registration = r#"{"client_id":"a","token_endpoint_auth_method":"private_key_jwt","profile":"compat",
            "token_endpoint_auth_signing_alg":["ES256","PS256"],"jwks":{"keys": [{"kty":"EC","crv":"P-256",
            "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]},
            "tls_client_auth_subject_dn":"CN=a","spiffe_id":"spiffe://example.org/a",
            "federated":[{"issuer":"https://i.example","subject":"s:*"}],
            "tls_client_certificate_bound_access_tokens":true,"dpop_bound_access_tokens":true}"#;
        let text = format!("{{\"registration\":{registration}}}");
        let read = ClientDocument::from_json(&text).unwrap();
        let written = read.to_json().unwrap();
        assert_eq!(ClientDocument::from_json(&written).unwrap().to_json().unwrap(), written);
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(json(&written), json(&text));

        let client = read.to_client(&defaults()).unwrap();
        let mut again = ClientRegistration { client_id: "a".to_owned(), ..Default::default() };
        client.proof.write(&mut again);
        again.token_endpoint_auth_method = Some("private_key_jwt".to_owned());
        assert_eq!(serde_json::to_value(&again).unwrap(), json(registration));

        // Written before there were any, and read by a version that has more.
        let old = ClientDocument::from_json(r#"{"registration":{"client_id":"a","scope":"b"}}"#).unwrap();
        assert_eq!(old.to_client(&defaults()).unwrap().proof, crate::oauth::client::ProofMembers::default());
        let newer = r#"{"registration":{"client_id":"a","jwks_url":"https://a.example"}}"#;
        let refused = ClientDocument::from_json(newer).unwrap_err().to_string();
        assert!(refused.contains("unknown field `jwks_url`"), "{refused}");
        let newer =
            r#"{"registration":{"client_id":"a","federated":[{"issuer":"a","subject":"b","audience":"c"}]}}"#;
        assert!(ClientDocument::from_json(newer).is_err());
    }
}
