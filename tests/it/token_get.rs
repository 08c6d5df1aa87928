//! `mintage token get` and `mintage key new-client`, as the real program: against real servers, and against a stand-in that
//! answers what no good server would.

mod tls;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use axum::{Json, Router, body::Bytes, http::HeaderMap, response::IntoResponse, routing};
use mintage::{
    jose::{JwsAlgorithm, PrivateKey},
    serve::{self, Limits, Shutdown},
    telemetry::{Metrics, Telemetry},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    jwt::{claims, header},
    process::Process,
};

/// What a run of the program left.
#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Outcome {
    #[track_caller]
    fn token(&self) -> &str {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{self:?}");
        let token = self.stdout.strip_suffix('\n').unwrap();
        assert!(!token.contains(['\n', ' ']), "{token}");
        token
    }

    #[track_caller]
    fn failed(&self, code: i32, needle: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (code, ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.contains(needle), "{self:?}");
    }
}

/// Runs the program in a directory, with a secret in its environment when there is one.
async fn mintage(directory: &Path, secret: Option<&str>, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintage"));
    command.args(arguments).current_dir(directory).env_clear();
    command.envs(secret.map(|secret| ("MINTAGE_CLIENT_SECRET", secret)));
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn get(directory: &Path, secret: Option<&str>, arguments: &[&str]) -> Outcome {
    mintage(directory, secret, &[&["token", "get"], arguments].concat()).await
}

const CLIENTS: &str = r#"
[tokens]
signing_alg = "ES256"

[[clients]]
client_id = "a b:c"
client_secret = "p w%+:/="
scope = "read write"
audiences = ["https://api.example", "billing"]

[[clients]]
client_id = "basic"
client_secret = "secret-of-basic"
token_endpoint_auth_method = "client_secret_basic"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_gets_a_token_and_nothing_but_it_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(CLIENTS).await;
    let issuer = format!("http://{}", server.address);
    let endpoint = format!("{issuer}/token");
    let secret = "p w%+:/=";
    std::fs::write(directory.path().join("secret"), format!("{secret}\n")).unwrap();
    let who = ["--client-id", "a b:c"];

    for url in [&issuer, &endpoint] {
        let outcome = get(directory.path(), Some(secret), &[&["--url", url], &who[..]].concat()).await;
        assert_eq!(claims(outcome.token())["sub"], "a b:c");
    }
    let post = [&["--url", &issuer, "--auth", "post", "--client-secret-file", "secret"], &who[..]].concat();
    assert_eq!(claims(get(directory.path(), None, &post).await.token())["scope"], "read write");
    let wish = ["--scope", "write", "--resource", "https://api.example", "--audience", "billing"];
    let outcome = get(directory.path(), None, &[&post[..], &wish].concat()).await;
    let told = claims(outcome.token());
    assert_eq!((&told["scope"], &told["aud"]), (&json!("write"), &json!(["https://api.example", "billing"])));
    let outcome = get(directory.path(), None, &[&post[..], &["--output", "json"]].concat()).await;
    let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("Bearer"), &json!(3600)));

    // What the server refuses is told, with what to do; the secret never is (V-71).
    let outcome = get(directory.path(), Some("canary"), &[&["--url", &issuer], &who[..]].concat()).await;
    outcome.failed(1, "the server refused: invalid_client");
    assert!(!outcome.stderr.contains("canary"), "{outcome:?}");
    let outcome = get(directory.path(), None, &[&post[..], &["--scope", "admin"]].concat()).await;
    outcome.failed(1, "the server refused: invalid_scope");
    let wrong_method = ["--url", &issuer, "--client-id", "basic", "--auth", "client_secret_post"];
    get(directory.path(), Some("secret-of-basic"), &wrong_method).await.failed(1, "invalid_client");
    get(directory.path(), Some("secret-of-basic"), &wrong_method[..4]).await.token();
}

#[tokio::test(flavor = "multi_thread")]
async fn misuse_is_told_before_anything_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("empty"), "\n").unwrap();
    std::fs::write(directory.path().join("no.pem"), "-----BEGIN PRIVATE KEY-----\ncanary\n").unwrap();
    // Nobody listens there.
    let url = ["--url", "https://127.0.0.1:1"];
    let id = ["--client-id", "me"];
    let cases: [(&[&str], i32, &str); 14] = [
        (&[], 2, "--url"),
        (&url, 2, "--client-id is missing"),
        (&[&url[..], &id].concat(), 2, "MINTAGE_CLIENT_SECRET"),
        (&[&url[..], &id, &["--client-secret-file", "absent"]].concat(), 1, "absent cannot be read"),
        (&[&url[..], &id, &["--client-secret-file", "empty"]].concat(), 1, "empty is empty"),
        (&[&url[..], &id, &["--client-secret-file", "-"]].concat(), 1, "standard input is empty"),
        (&[&url[..], &id, &["--key", "no.pem"]].concat(), 1, "no private key"),
        (&[&url[..], &id, &["--auth", "private_key_jwt"]].concat(), 2, "--key is missing"),
        (&[&url[..], &id, &["--auth", "tls"]].concat(), 2, "--cert is missing"),
        (&[&url[..], &id, &["--cert", "no.pem"]].concat(), 1, "PEM certificate and private key"),
        (&[&url[..], &["--auth", "assertion"]].concat(), 2, "--assertion-file is missing"),
        (&[&url[..], &["--grant", "jwt-bearer"]].concat(), 2, "--assertion-file"),
        (
            &["--url", "http://id.example", "--client-id", "me", "--client-secret-file", "no.pem"],
            2,
            "--allow-plain-http",
        ),
        (
            &["--url", "https://127.0.0.1:1", "--client-id", "me", "--client-secret-file", "no.pem"],
            1,
            "does not answer",
        ),
    ];
    for (arguments, code, needle) in cases {
        let outcome = get(directory.path(), None, arguments).await;
        outcome.failed(code, needle);
        assert!(!outcome.stderr.contains("canary"), "{outcome:?}");
    }
    let short = ["--url", "https://127.0.0.1:1", "--client-id", "me", "--auth", "client_secret_jwt"];
    get(directory.path(), Some("0123456789abcdef0123456789abcde"), &short)
        .await
        .failed(1, "too short for HS256");
}

/// A client with a key that the program made, and one with a secret long enough for HS256; every token bound when asked.
// CHK-63, CHK-64
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_signed_secrets_get_a_token_from_a_real_server() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let directory = tempfile::tempdir().unwrap();
    for (profile, alg) in [
        ("strict", JwsAlgorithm::ES256),
        ("strict", JwsAlgorithm::RS512),
        ("smart", JwsAlgorithm::RS384),
        ("smart", JwsAlgorithm::ES384),
        ("fapi2", JwsAlgorithm::PS256),
        ("fapi2", JwsAlgorithm::EdDSA),
    ] {
        let file = format!("{profile}-{alg}.pem");
        let key = new_client(directory.path(), &file, alg).await;
        let jwks = json!({ "keys": [key.jwk().unwrap()] }).to_string().replace("\":", "\" = ");
        let server = Process::start(&format!(
            "[[clients]]\nclient_id = \"keyed\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\nscope = \"read\"\n\
             profile = \"{profile}\"\njwks = {jwks}\naccess_token_signing_alg = \"ES256\"\naccess_token_lifetime = \"5m\"\n\
             [[clients]]\nclient_id = \"sealed\"\ntoken_endpoint_auth_method = \"client_secret_jwt\"\n\
             client_secret = \"{SECRET}\"\naccess_token_signing_alg = \"ES256\"\n"
        ))
        .await;
        let issuer = format!("http://{}", server.address);
        let who = ["--url", &issuer, "--client-id", "keyed", "--key", &file, "--alg", alg.as_str()];
        let bound =
            new_client(directory.path(), &format!("dpop-{profile}-{alg}.pem"), JwsAlgorithm::ES256).await;
        let dpop_key = format!("dpop-{profile}-{alg}.pem");
        if profile != "fapi2" {
            let outcome = get(directory.path(), None, &who).await;
            assert_eq!(claims(outcome.token())["sub"], "keyed", "{profile} {alg}");
        }
        // CHK-118: bound to the key, which the token names.
        let outcome = get(directory.path(), None, &[&who[..], &["--dpop-key", &dpop_key]].concat()).await;
        assert_eq!(claims(outcome.token())["cnf"]["jkt"], bound.kid(), "{profile} {alg}");
        // An assertion for another audience is refused (V-15).
        let elsewhere =
            [&who[..], &["--dpop-key", &dpop_key, "--assertion-audience", "https://other.example"]].concat();
        get(directory.path(), None, &elsewhere).await.failed(1, "invalid_client");

        let who = ["--url", &issuer, "--client-id", "sealed", "--auth", "client_secret_jwt"];
        let outcome = get(directory.path(), Some(SECRET), &who).await;
        assert_eq!(claims(outcome.token())["sub"], "sealed");
        let other = "another secret of thirty-two bytes or more";
        get(directory.path(), Some(other), &who).await.failed(1, "invalid_client");
    }
}

/// A service-account token and a JWT-SVID, as files that a platform puts beside a program.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_platform_gets_a_token_from_a_real_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let cluster = PrivateKey::generate(JwsAlgorithm::RS256).unwrap();
    let svid = PrivateKey::generate(JwsAlgorithm::ES256).unwrap();
    let set = |key: &PrivateKey| json!({ "keys": [key.jwk().unwrap()] });
    std::fs::write(path("cluster.json"), set(&cluster).to_string()).unwrap();
    let mut bundle = set(&svid);
    bundle["keys"][0]["use"] = json!("jwt-svid");
    std::fs::write(path("bundle.json"), bundle.to_string()).unwrap();
    let server = Process::start(&format!(
        "[tokens]\nsigning_alg = \"ES256\"\n\
         [spiffe.trust_domains.\"example.org\"]\njwt_bundle_file = \"{}\"\n\
         [[trusted_issuers]]\nissuer = \"https://cluster.example\"\njwks_file = \"{}\"\nreplay = \"none\"\n\
         [[clients]]\nclient_id = \"pod\"\ngrant_types = [\"client_credentials\", \"urn:ietf:params:oauth:grant-type:jwt-bearer\"]\n\
         federated = [{{ issuer = \"https://cluster.example\", subject = \"system:serviceaccount:prod:pod\" }}]\n\
         [[clients]]\nclient_id = \"workload\"\ntoken_endpoint_auth_method = \"spiffe_jwt\"\nspiffe_id = \"spiffe://example.org/workload\"\n",
        path("bundle.json"),
        path("cluster.json"),
    ))
    .await;
    let issuer = format!("http://{}", server.address);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let token = |key: &PrivateKey, iss: Option<&str>, sub: &str| {
        let mut claims = json!({ "sub": sub, "aud": [issuer], "exp": now + 600, "iat": now });
        if let Some(iss) = iss {
            claims["iss"] = json!(iss);
        }
        let header = json!({ "kid": key.kid(), "typ": "JWT" });
        key.sign(header.as_object().unwrap().clone(), claims.to_string().as_bytes()).unwrap()
    };
    let of_pod = token(&cluster, Some("https://cluster.example"), "system:serviceaccount:prod:pod");
    std::fs::write(path("pod"), of_pod + "\n").unwrap();
    std::fs::write(path("svid"), token(&svid, None, "spiffe://example.org/workload")).unwrap();

    for (client_id, more) in [
        ("pod", &["--assertion-file", "pod"][..]),
        ("pod", &["--assertion-file", "pod", "--grant", "jwt-bearer"]),
        ("workload", &["--assertion-file", "svid", "--assertion-type", "jwt-spiffe"]),
    ] {
        let arguments = [&["--url", &issuer, "--client-id", client_id], more].concat();
        let outcome = get(directory.path(), None, &arguments).await;
        assert_eq!(claims(outcome.token())["sub"], client_id, "{more:?}");
    }
    let arguments = ["--url", &issuer, "--client-id", "workload", "--assertion-file", "pod"];
    get(directory.path(), None, &arguments).await.failed(1, "invalid_client");
}

/// What a stand-in was sent.
#[derive(Clone, Debug)]
struct Sent {
    form: Vec<(String, String)>,
    headers: HeaderMap,
}

impl Sent {
    fn parameter(&self, name: &str) -> Option<&str> {
        let mut values = self.form.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice");
        value
    }
}

/// A token endpoint with metadata, which writes down what it is sent and answers as it is told.
struct StandIn {
    url: String,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl StandIn {
    async fn start(metadata: impl Fn(&str) -> Value, answers: Vec<axum::response::Response>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let metadata = Json(metadata(&url));
        let sent = Arc::<Mutex<Vec<Sent>>>::default();
        let (log, answers) = (Arc::clone(&sent), Arc::new(Mutex::new(answers.into_iter())));
        let token = async move |headers: HeaderMap, body: Bytes| {
            let form = url::form_urlencoded::parse(&body).into_owned().collect();
            log.lock().unwrap().push(Sent { form, headers });
            answers.lock().unwrap().next().expect("no more answers")
        };
        let routes = Router::new()
            .route("/.well-known/oauth-authorization-server", routing::get(async move || metadata.clone()))
            .route("/token", routing::post(token));
        #[expect(clippy::disallowed_methods, reason = "the start of this process")]
        let telemetry = Telemetry::new(Metrics::new("test", std::time::SystemTime::now()));
        let routes = serve::router(routes, Router::new());
        tokio::spawn(serve::serve(listener, routes, Limits::default(), telemetry, Shutdown::new()));
        Self { url, sent }
    }

    fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }
}

fn granted() -> axum::response::Response {
    Json(json!({ "access_token": "opaque", "token_type": "DPoP" })).into_response()
}

fn refused(status: u16, headers: &[(&'static str, &'static str)], body: Value) -> axum::response::Response {
    let mut response = (http::StatusCode::from_u16(status).unwrap(), Json(body)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}

fn own_metadata(url: &str) -> Value {
    json!({ "issuer": url, "token_endpoint": format!("{url}/token") })
}

/// Makes the key pair of a client with the program itself.
async fn new_client(directory: &Path, file: &str, alg: JwsAlgorithm) -> PrivateKey {
    let outcome = mintage(directory, None, &["key", "new-client", file, "--alg", alg.as_str()]).await;
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let key = PrivateKey::from_pem(alg, &std::fs::read(directory.join(file)).unwrap()).unwrap();
    let jwks: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(jwks["keys"][0]["kid"], key.kid());
    key
}

/// Header and claims of a JWT, whose signature must be right.
fn verified(token: &str, key: &PrivateKey) -> (Value, Value) {
    let jws = mintage::jose::jws::UnverifiedJws::parse(token).unwrap();
    jws.verify(&key.verification_key().unwrap()).unwrap();
    (header(token), claims(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn assertions_are_for_the_issuer_that_the_metadata_name() {
    let directory = tempfile::tempdir().unwrap();
    let server = StandIn::start(own_metadata, (0..4).map(|_| granted()).collect()).await;
    let key = new_client(directory.path(), "key.pem", JwsAlgorithm::RS384).await;
    let arguments =
        ["--url", &server.url, "--client-id", "me", "--key", "key.pem", "--alg", "RS384", "--kid", "7"];
    assert_eq!(get(directory.path(), None, &arguments).await.token(), "opaque");
    let sent = server.sent().pop().unwrap();
    let (header, told) = verified(sent.parameter("client_assertion").unwrap(), &key);
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS384"), &json!("7")));
    assert_eq!((&told["iss"], &told["sub"], &told["aud"]), (&json!("me"), &json!("me"), &json!(server.url)));
    assert_eq!(told["exp"].as_u64().unwrap() - told["iat"].as_u64().unwrap(), 60);
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    assert_eq!(sent.parameter("client_assertion_type"), Some(kind));
    assert_eq!(sent.parameter("client_id"), Some("me"));
    assert!(sent.parameter("client_secret").is_none() && !sent.headers.contains_key("authorization"));

    let secret = "0123456789abcdef0123456789abcdef";
    let arguments = ["--url", &server.url, "--client-id", "me", "--auth", "client_secret_jwt"];
    get(directory.path(), Some(secret), &arguments).await.token();
    let sent = server.sent().pop().unwrap();
    let key = PrivateKey::from_shared_secret(JwsAlgorithm::HS256, secret.as_bytes()).unwrap();
    let (header, _) = verified(sent.parameter("client_assertion").unwrap(), &key);
    assert!(header.get("kid").is_none(), "{header}");
    assert!(!format!("{sent:?}").contains(secret));

    // A token of somebody else, as client assertion and as grant.
    std::fs::write(directory.path().join("svid"), "a.b.c\n").unwrap();
    let arguments = ["--url", &server.url, "--assertion-file", "svid", "--assertion-type", "jwt-spiffe"];
    get(directory.path(), None, &arguments).await.token();
    let sent = server.sent().pop().unwrap();
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";
    assert_eq!(sent.parameter("client_assertion_type"), Some(kind));
    assert_eq!(sent.parameter("client_assertion"), Some("a.b.c"));
    assert_eq!(sent.parameter("grant_type"), Some("client_credentials"));
    let arguments =
        ["--url", &server.url, "--assertion-file", "svid", "--grant", "jwt-bearer", "--client-id", "me"];
    get(directory.path(), None, &arguments).await.token();
    let sent = server.sent().pop().unwrap();
    assert_eq!(sent.parameter("grant_type"), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    assert_eq!((sent.parameter("assertion"), sent.parameter("client_id")), (Some("a.b.c"), Some("me")));
    assert!(sent.parameter("client_assertion").is_none());
}

// V-15: whoever pretends to be another issuer gets nothing that is meant for it
#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_issuer_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    new_client(directory.path(), "key.pem", JwsAlgorithm::ES256).await;
    let who = ["--client-id", "me", "--key", "key.pem"];
    for metadata in [
        |url: &str| json!({ "issuer": "https://id.example", "token_endpoint": format!("{url}/token") }),
        |url: &str| json!({ "issuer": format!("{url}/"), "token_endpoint": format!("{url}/token") }),
    ] {
        let server = StandIn::start(metadata, Vec::new()).await;
        for url in [server.url.clone(), format!("{}/token", server.url)] {
            let outcome = get(directory.path(), None, &[&["--url", &url], &who[..]].concat()).await;
            outcome.failed(1, "says that its issuer is");
        }
        assert!(server.sent().is_empty());
    }
    // Credentials follow metadata to another host over TLS alone.
    let elsewhere = |url: &str| json!({ "issuer": url, "token_endpoint": "http://id.example/token" });
    let server = StandIn::start(elsewhere, Vec::new()).await;
    get(directory.path(), None, &[&["--url", &server.url], &who[..]].concat()).await.failed(2, "plain HTTP");
    // Without metadata there is nobody to say it to, unless that is said.
    let nobody = StandIn::start(|_| json!({}), vec![granted()]).await;
    let url = format!("{}/token", nobody.url);
    let arguments = [&["--url", &url], &who[..]].concat();
    get(directory.path(), None, &arguments).await.failed(1, "--assertion-audience");
    let arguments = [&arguments[..], &["--assertion-audience", "https://id.example"]].concat();
    get(directory.path(), None, &arguments).await.token();
    let sent = nobody.sent().pop().unwrap();
    assert_eq!(claims(sent.parameter("client_assertion").unwrap())["aud"], "https://id.example");
}

// RFC 9449 §8
#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_used_once_and_everything_signed_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let wants = |nonce| refused(400, &[("dpop-nonce", nonce)], json!({ "error": "use_dpop_nonce" }));
    let answers = vec![wants("n-1"), granted(), wants("n-2"), wants("n-3")];
    let server = StandIn::start(own_metadata, answers).await;
    let client = new_client(directory.path(), "key.pem", JwsAlgorithm::ES256).await;
    let bound = new_client(directory.path(), "dpop.pem", JwsAlgorithm::EdDSA).await;
    let arguments = ["--url", &server.url, "--client-id", "me", "--key", "key.pem", "--dpop-key", "dpop.pem"];
    get(directory.path(), None, &arguments).await.token();
    let sent = server.sent();
    assert_eq!(sent.len(), 2);
    let proofs: Vec<(Value, Value)> =
        sent.iter().map(|sent| verified(sent.headers["dpop"].to_str().unwrap(), &bound)).collect();
    let endpoint = format!("{}/token", server.url);
    for ((header, told), nonce) in proofs.iter().zip([Value::Null, json!("n-1")]) {
        assert_eq!((&header["typ"], &header["jwk"]["kty"]), (&json!("dpop+jwt"), &json!("OKP")));
        assert!(header["jwk"].get("d").is_none());
        assert_eq!((&told["htm"], &told["htu"], &told["nonce"]), (&json!("POST"), &json!(endpoint), &nonce));
    }
    let assertion =
        |sent: &Sent| verified(sent.parameter("client_assertion").unwrap(), &client).1["jti"].clone();
    assert_ne!(assertion(&sent[0]), assertion(&sent[1]));
    assert_ne!(proofs[0].1["jti"], proofs[1].1["jti"]);

    // A server that is never content is not asked for ever.
    get(directory.path(), None, &arguments).await.failed(1, "use_dpop_nonce");
    assert_eq!(server.sent().len(), 2);
}

// V-72: what a server writes is not what a terminal does
#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_hostile_server_are_bounded_and_harmless() {
    let directory = tempfile::tempdir().unwrap();
    let answers = vec![
        refused(400, &[], json!({ "error": "x\u{1b}[31m", "error_description": "y\r\nerror: z\u{7}" })),
        refused(503, &[("retry-after", "7")], json!({ "error": "temporarily_unavailable" })),
        refused(200, &[], json!({ "access_token": "a\u{1b}[2J" })),
        refused(302, &[("location", "http://127.0.0.1:1/")], json!({})),
        Bytes::from(vec![b' '; 300 * 1024]).into_response(),
        "<html>".into_response(),
    ];
    let server = StandIn::start(own_metadata, answers).await;
    let arguments = ["--url", &server.url, "--client-id", "me"];
    for needle in [
        "x[31m (yerror: z)",
        "try again in 7 s",
        "no access_token",
        "status 302",
        "larger than",
        "no access_token",
    ] {
        let outcome = get(directory.path(), Some("canary"), &arguments).await;
        outcome.failed(1, needle);
        assert!(!outcome.stderr.contains(['\u{1b}', '\r', '\u{7}']) && !outcome.stderr.contains("canary"));
    }
}
