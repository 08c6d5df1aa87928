use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{json, value::RawValue};

use super::*;
use crate::{
    jose::{PrivateKey, SigningAlgorithm},
    oauth::client::{
        ClientRegistration,
        registration::{RegisteredSecret, RegistrationDefaults},
    },
    random::SystemRandom,
    secret::Secret,
};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A source that never has anything.
#[derive(Debug)]
struct Away(KeyError);

#[async_trait::async_trait]
impl KeySource for Away {
    async fn keys(&self, _: &str, _: Option<&str>) -> Result<Arc<JwkSet>, KeyError> {
        Err(self.0.clone())
    }
}

struct Bench {
    verifier: AssertionVerifier,
    secrets: Arc<SecretVerifier>,
}

impl Bench {
    fn new(published: Option<Arc<dyn KeySource>>) -> Self {
        let secrets = Arc::new(SecretVerifier::new(&SystemRandom, 1).unwrap());
        let issuer = Issuer::parse("https://id.example").unwrap();
        let verifier = AssertionVerifier::new(issuer, Arc::clone(&secrets), published).unwrap();
        Self { verifier, secrets }
    }

    fn client(&self, registration: ClientRegistration) -> Client {
        let defaults = RegistrationDefaults {
            signing_alg: SigningAlgorithm::ES256,
            lifetime: Duration::from_secs(3600),
            max_lifetime: Duration::from_secs(86400),
        };
        let registration = ClientRegistration { client_id: "me".to_owned(), ..registration };
        let keep = |secret: &Secret<String>, form| self.secrets.keep(secret, form, &SystemRandom);
        registration.check(&defaults, keep).unwrap()
    }

    fn keyed(&self, key: &PrivateKey) -> Client {
        let jwks = json!({ "keys": [key.jwk()] }).to_string();
        self.client(ClientRegistration {
            token_endpoint_auth_method: Some("private_key_jwt".to_owned()),
            jwks: Some(RawValue::from_string(jwks).unwrap()),
            ..Default::default()
        })
    }

    /// How an assertion ends, and how often a decoy stood in for a key.
    async fn verify(&self, client: Option<&Client>, assertion: &str) -> (Result<(), Error>, u32) {
        let before = self.verifier.decoys.used.load(Ordering::Relaxed);
        let assertion = ClientAssertion::read(assertion).unwrap();
        let endpoint = Endpoint::Rest("/token");
        let verified = self.verifier.verify(client, &assertion, endpoint, NOW).await;
        (verified.map(drop), self.verifier.decoys.used.load(Ordering::Relaxed) - before)
    }
}

fn signed(key: &PrivateKey, kid: &str) -> String {
    let claims = json!({
        "iss": "me", "sub": "me", "aud": "https://id.example", "exp": NOW.seconds() + 60, "jti": "1",
    });
    let header = json!({ "kid": kid });
    key.sign(header.as_object().unwrap().clone(), claims.to_string().as_bytes()).unwrap()
}

fn refused(refusal: AssertionRefusal) -> Result<(), Error> {
    Err(Error::InvalidClient(ClientRefusal::Assertion(refusal)))
}

// V-22: whatever the reason is that no key is tried, the arithmetic is done with another one
#[tokio::test]
async fn a_signature_is_computed_for_every_stranger() {
    let bench = Bench::new(None);
    for alg in METHODS.iter().flat_map(|method| method.assertion_algorithms()).copied() {
        let key = if alg.is_symmetric() {
            PrivateKey::from_shared_secret(alg, &[0xD5; 64]).unwrap()
        } else {
            PrivateKey::generate(alg).unwrap()
        };
        // Not even the key that everybody knows proves anything.
        assert_eq!(
            bench.verify(None, &signed(&key, "x")).await,
            (refused(AssertionRefusal::Client), 1),
            "{alg}"
        );
    }
    let (key, other) = (
        PrivateKey::generate(JwsAlgorithm::ES256).unwrap(),
        PrivateKey::generate(JwsAlgorithm::EdDSA).unwrap(),
    );
    let client = bench.keyed(&key);
    assert_eq!(bench.verify(Some(&client), &signed(&key, key.kid())).await, (Ok(()), 0));
    let no_key = (refused(AssertionRefusal::NoKey), 1);
    assert_eq!(bench.verify(Some(&client), &signed(&key, "other")).await, no_key);
    assert_eq!(bench.verify(Some(&client), &signed(&other, other.kid())).await, no_key);
    let stolen = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
    let wrong = (refused(AssertionRefusal::Signature), 0);
    assert_eq!(bench.verify(Some(&client), &signed(&stolen, key.kid())).await, wrong);

    let by_secret = bench.client(ClientRegistration {
        token_endpoint_auth_method: Some("client_secret_jwt".to_owned()),
        secret: Some(RegisteredSecret::Plain(Secret::from(SECRET))),
        ..Default::default()
    });
    let hmac = PrivateKey::from_shared_secret(JwsAlgorithm::HS256, SECRET.as_bytes()).unwrap();
    assert_eq!(bench.verify(Some(&by_secret), &signed(&hmac, "x")).await, (Ok(()), 0));
    let algorithm = (refused(AssertionRefusal::Algorithm), 1);
    assert_eq!(bench.verify(Some(&client), &signed(&hmac, "x")).await, algorithm);
    assert_eq!(bench.verify(Some(&by_secret), &signed(&key, "x")).await, algorithm);
}

// A client whose keys cannot be had looks like any other that is refused; only a server with too much to do says so
#[tokio::test]
async fn keys_that_cannot_be_had_are_told_to_the_log_alone() {
    let key = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
    let retry_after = Duration::from_secs(3);
    let unavailable = KeyError::Unavailable("no route".to_owned());
    for (source, expected) in [
        (None, (refused(AssertionRefusal::KeysUnavailable), 1)),
        (Some(unavailable), (refused(AssertionRefusal::KeysUnavailable), 1)),
        (
            Some(KeyError::Busy { retry_after }),
            (Err(Error::Busy { reason: RefusalReason::Overloaded, retry_after }), 0),
        ),
    ] {
        let bench = Bench::new(source.map(|error| Arc::new(Away(error)) as Arc<dyn KeySource>));
        let client = bench.client(ClientRegistration {
            token_endpoint_auth_method: Some("private_key_jwt".to_owned()),
            jwks_uri: Some("https://me.example/keys".to_owned()),
            ..Default::default()
        });
        assert_eq!(bench.verify(Some(&client), &signed(&key, key.kid())).await, expected);
    }
}

#[test]
fn media_types_have_no_case_and_a_prefix_that_is_left_out() {
    for typ in [
        "JWT",
        "jwt",
        "application/JWT",
        "client-authentication+jwt",
        "Application/Client-Authentication+JWT",
    ] {
        assert!(is_assertion_type(typ), "{typ}");
    }
    for typ in ["", "at+jwt", "application/", "application/application/jwt", "JWT ", "JOSE", "dpop+jwt"] {
        assert!(!is_assertion_type(typ), "{typ}");
    }
}
