//! A resource server that validates access tokens by itself (RFC 9068 §4): it follows the keys and the revocations of
//! `mintage.token.v1.KeyService` and asks nobody about a single token.
//!
//! ```text
//! mintage serve --dev
//! TOKEN=$(curl -su m2m-client:m2m-secret -d grant_type=client_credentials localhost:8000/token | jq -r .access_token)
//! cargo run --example resource_server -- http://localhost:8000 resource-server rs-secret "$TOKEN"
//! ```

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use mintage::grpc::pb::token::{
    self as pb, key_service_client::KeyServiceClient, revocation::Revoked,
    watch_revocations_request::ClientAuthentication,
};
use tonic::{Status, transport::Channel};

/// Knowledge of revocations that is older than this is not relied on: introspect such a token instead (RFC 7662).
const MAX_AGE: Duration = Duration::from_secs(30);

/// How long to wait before a stream that ended is opened again.
const RECONNECT: Duration = Duration::from_millis(200);

/// What validation needs of a token (RFC 9068 §2.2).
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Claims {
    /// Who the token is about.
    pub sub: String,
    client_id: String,
    jti: String,
    iat: i64,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not a valid access token for this resource server.
    Invalid,
    /// It was revoked.
    Revoked,
    /// Whether it was revoked is not known.
    NotKnown,
}

/// What the streams have told so far.
#[derive(Default)]
struct Known {
    keys: Option<JwkSet>,
    tokens: HashSet<String>,
    clients: HashMap<String, i64>,
    kids: HashSet<String>,
    cursor: String,
    /// As of when the revocations are complete.
    complete_at: Option<Instant>,
}

/// Validates tokens of one issuer for one audience.
#[derive(Clone)]
pub struct Validator {
    issuer: String,
    audience: String,
    known: Arc<RwLock<Known>>,
}

impl Validator {
    /// Begins to follow `KeyService`. It validates once both streams have told what they know, a moment later.
    pub fn follow(
        client: KeyServiceClient<Channel>,
        own: pb::ClientSecret,
        issuer: &str,
        audience: &str,
    ) -> Self {
        let known = Arc::default();
        let validator = Self { issuer: issuer.to_owned(), audience: audience.to_owned(), known };
        tokio::spawn(validator.clone().follow_keys(client.clone()));
        tokio::spawn(validator.clone().follow_revocations(client, own));
        validator
    }

    /// Validates a token, from memory alone.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn validate(&self, token: &str) -> Result<Claims, Refusal> {
        let known = self.read();
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Invalid)?;
        let kid = header.kid.as_deref().ok_or(Refusal::Invalid)?;
        let jwk = known.keys.as_ref().and_then(|keys| keys.find(kid)).ok_or(Refusal::Invalid)?;
        let key = DecodingKey::from_jwk(jwk).map_err(|_| Refusal::Invalid)?;
        // The algorithm is that of the key, never that of the token (RFC 8725 §3.1), and another JWT is no access token.
        let alg =
            jwk.common.key_algorithm.and_then(|alg| alg.to_string().parse().ok()).ok_or(Refusal::Invalid)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err(Refusal::Invalid);
        }
        let mut validation = Validation::new(alg);
        validation.leeway = 0;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        let token = jsonwebtoken::decode::<Claims>(token, &key, &validation).map_err(|_| Refusal::Invalid)?;
        let claims = token.claims;
        let of_client = known.clients.get(&claims.client_id);
        if known.tokens.contains(&claims.jti)
            || known.kids.contains(kid)
            || of_client.is_some_and(|until| claims.iat <= *until)
        {
            Err(Refusal::Revoked)
        } else if known.complete_at.is_none_or(|at| at.elapsed() > MAX_AGE) {
            Err(Refusal::NotKnown)
        } else {
            Ok(claims)
        }
    }

    async fn follow_keys(self, mut client: KeyServiceClient<Channel>) {
        loop {
            let _ = self.read_keys(&mut client).await;
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn read_keys(
        &self,
        client: &mut KeyServiceClient<Channel>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut stream = client.watch_jwks(pb::WatchJwksRequest {}).await?.into_inner();
        while let Some(message) = stream.message().await? {
            self.write().keys = Some(serde_json::from_slice(&message.jwks_json)?);
        }
        Ok(())
    }

    async fn follow_revocations(self, mut client: KeyServiceClient<Channel>, own: pb::ClientSecret) {
        loop {
            let _ = self.read_revocations(&mut client, &own).await;
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn read_revocations(
        &self,
        client: &mut KeyServiceClient<Channel>,
        own: &pb::ClientSecret,
    ) -> Result<(), Status> {
        let request = pb::WatchRevocationsRequest {
            cursor: self.read().cursor.clone(),
            heartbeat_interval: None,
            client_id: String::new(),
            client_authentication: Some(ClientAuthentication::ClientSecret(own.clone())),
        };
        let mut stream = client.watch_revocations(request).await?.into_inner();
        while let Some(message) = stream.message().await? {
            self.write().learn(message);
        }
        Ok(())
    }

    // Every change leaves it whole.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn learn(&mut self, message: pb::WatchRevocationsResponse) {
        if message.reset {
            *self = Self { keys: self.keys.take(), ..Self::default() };
        }
        // One that runs for long forgets each revocation at its `expire_time`.
        for revocation in message.revocations {
            match revocation.revoked {
                Some(Revoked::TokenId(jti)) => drop(self.tokens.insert(jti)),
                Some(Revoked::Kid(kid)) => drop(self.kids.insert(kid)),
                Some(Revoked::Client(client)) => {
                    let until = client.issued_until.map_or(i64::MAX, |until| until.seconds);
                    let known = self.clients.entry(client.client_id).or_insert(until);
                    *known = until.max(*known);
                }
                // A newer server knows of more: nothing it says can be ignored.
                None => return self.complete_at = None,
            }
        }
        self.cursor = message.cursor;
        let age = message.staleness.and_then(|age| Duration::try_from(age).ok());
        if message.caught_up {
            self.complete_at = age.and_then(|age| Instant::now().checked_sub(age));
        }
    }
}

#[allow(dead_code, reason = "a test uses the rest of the file")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, client_id, client_secret, token] = arguments.as_slice() else {
        return Err("usage: resource_server URL CLIENT_ID CLIENT_SECRET TOKEN".into());
    };
    let client = KeyServiceClient::new(Channel::from_shared(server.clone())?.connect().await?);
    let own = pb::ClientSecret { client_id: client_id.clone(), client_secret: client_secret.clone() };
    let validator = Validator::follow(client, own, server, server);
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match validator.validate(token) {
            Ok(claims) => println!("accepted: {}", claims.sub),
            Err(refusal) => println!("refused: {refusal:?}"),
        }
    }
}
