//! A stand-in for an issuer of tokens: a cluster that projects service-account tokens, or a CI provider. It serves its
//! metadata and its keys over plain HTTP on loopback, signs what it is told, and rotates its keys.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use mintage::jose::{JwsAlgorithm, PrivateKey};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A running issuer.
pub struct StandInIssuer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    /// The newest last: it signs.
    keys: Mutex<Vec<PrivateKey>>,
    requests: AtomicUsize,
}

impl StandInIssuer {
    /// An issuer with one key of this algorithm.
    pub async fn start(alg: JwsAlgorithm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            issuer: format!("http://{address}/cluster"),
            keys: Mutex::new(vec![PrivateKey::generate(alg).unwrap()]),
            requests: AtomicUsize::default(),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        request.push(byte);
                    }
                    let request = String::from_utf8(request).unwrap();
                    let answer = shared.answer(request.split(' ').nth(1).unwrap());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, shared }
    }

    /// `iss` of its tokens.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Host and port, as `jwks_fetch.allow_hosts` takes them.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// How often it was asked for anything.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Makes a key that signs from now on. The key before it stays published, if it is kept.
    pub fn rotate(&self, keep: bool) {
        let mut keys = self.shared.keys.lock().unwrap();
        let alg = keys.last().unwrap().alg();
        if !keep {
            keys.clear();
        }
        keys.push(PrivateKey::generate(alg).unwrap());
    }

    /// Signs claims with a key of another algorithm, which it publishes first of all.
    pub fn sign_as(&self, alg: JwsAlgorithm, claims: &Value) -> String {
        let key = PrivateKey::generate(alg).unwrap();
        let header = Map::from_iter([("kid".to_owned(), key.kid().into())]);
        let token = key.sign(header, claims.to_string().as_bytes()).unwrap();
        self.shared.keys.lock().unwrap().insert(0, key);
        token
    }

    /// Signs claims with the newest key, under no more of a header than a cluster writes.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&json!({}), claims)
    }

    /// The same with further header members.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let keys = self.shared.keys.lock().unwrap();
        let key = keys.last().unwrap();
        let mut members: Map<String, Value> = Map::new();
        members.insert("kid".to_owned(), key.kid().into());
        members.extend(header.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        key.sign(members, claims.to_string().as_bytes()).unwrap()
    }
}

impl Shared {
    fn jwks(&self) -> Value {
        let keys: Vec<_> = self
            .keys
            .lock()
            .unwrap()
            .iter()
            .map(|key| serde_json::to_value(key.jwk().unwrap()).unwrap())
            .collect();
        json!({ "keys": keys })
    }

    fn answer(&self, path: &str) -> String {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let body = match path {
            "/cluster/.well-known/openid-configuration" => json!({
                "issuer": self.issuer,
                "jwks_uri": format!("{}/openid/v1/jwks", self.issuer),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }),
            "/cluster/openid/v1/jwks" => self.jwks(),
            _ => return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let body = body.to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: public, max-age=3600\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}
