//! `mintage token get` over TLS: the authority to trust, the certificate as proof, and the token bound to it.

use std::{fs, path::Path};

use mintage::{certificates::x5t_s256, jose::base64url};

use super::{claims, get, new_client};
use crate::support::{
    patience::free_address,
    process::Process,
    tls::{Pair, San, TestCa},
};
use mintage::jose::JwsAlgorithm;

fn put(directory: &Path, name: &str, pair: &Pair) {
    fs::write(directory.join(format!("{name}.crt")), &pair.certificates).unwrap();
    fs::write(directory.join(format!("{name}.key")), &pair.key).unwrap();
}

/// A server with TLS whose issuer is where it listens.
async fn server(directory: &Path, toml: &str) -> (Process, String) {
    let address = free_address();
    let issuer = format!("https://localhost:{}", address.port());
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut process = Process::spawn(
        toml,
        "exec \"$@\"",
        &[
            ("MINTAGE_LISTEN", &address.to_string()),
            ("ISSUER_URL", &issuer),
            ("MINTAGE_TLS_CERT_FILE", &file("server.crt")),
            ("MINTAGE_TLS_KEY_FILE", &file("server.key")),
            ("MINTAGE_TLS_CLIENT_CA_FILE", &file("ca.pem")),
            ("MINTAGE_TLS_CLIENT_AUTH", "optional"),
            ("MINTAGE_DPOP_NONCE", "required"),
        ],
    );
    let ready = process.eventually(async |this| this.get(this.ops, "/readyz").await == Some(200)).await;
    assert!(ready, "{}", process.stderr());
    (process, issuer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_gets_a_token_and_binds_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let ca = TestCa::new();
    fs::write(directory.join("ca.pem"), ca.pem()).unwrap();
    fs::write(directory.join("other.pem"), TestCa::named("Another").pem()).unwrap();
    put(directory, "server", &ca.server());
    let (billing, own) = (ca.client("billing", &[San::dns("billing.example")]), Pair::self_signed("own"));
    put(directory, "billing", &billing);
    put(directory, "own", &own);
    put(directory, "stranger", &ca.client("stranger", &[San::dns("stranger.example")]));
    let x5c = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, own.leaf());
    let jwk = self_signed_jwk(&own, &x5c);
    let toml = format!(
        "[tokens]\nsigning_alg = \"ES256\"\n\
         [[clients]]\nclient_id = \"billing\"\ntoken_endpoint_auth_method = \"tls_client_auth\"\n\
         tls_client_auth_san_dns = \"billing.example\"\ntls_client_certificate_bound_access_tokens = true\n\
         [[clients]]\nclient_id = \"own\"\ntoken_endpoint_auth_method = \"self_signed_tls_client_auth\"\njwks = {jwk}\n\
         [[clients]]\nclient_id = \"bound\"\nclient_secret = \"a secret\"\n\
         tls_client_certificate_bound_access_tokens = true\n"
    );
    let (_process, issuer) = server(directory, &toml).await;
    let with = |client_id: &'static str, more: &[&'static str]| -> Vec<String> {
        let first = ["--url", &issuer, "--client-id", client_id].map(str::to_owned);
        first.into_iter().chain(more.iter().map(|text| (*text).to_owned())).collect()
    };
    let run = async |secret, arguments: Vec<String>| {
        get(directory, secret, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };

    // Whoever the server is must be known.
    let arguments = with("bound", &["--cert", "billing.crt", "--cert-key", "billing.key", "--auth", "basic"]);
    run(Some("a secret"), arguments.clone()).await.failed(1, "does not answer");
    let other = [&arguments[..], &["--ca".to_owned(), "other.pem".to_owned()]].concat();
    run(Some("a secret"), other).await.failed(1, "does not answer");

    // A certificate beside a secret binds the token.
    let trusted = [&arguments[..], &["--ca".to_owned(), "ca.pem".to_owned()]].concat();
    let outcome = run(Some("a secret"), trusted).await;
    assert_eq!(claims(outcome.token())["cnf"]["x5t#S256"], x5t_s256(&billing.leaf()));
    run(Some("a secret"), with("bound", &["--ca", "ca.pem"])).await.failed(1, "invalid_request");

    // A certificate is the proof.
    let by = |client_id, cert, key| with(client_id, &["--ca", "ca.pem", "--cert", cert, "--key", key]);
    let outcome = run(None, by("billing", "billing.crt", "billing.key")).await;
    let told = claims(outcome.token());
    assert_eq!(
        (&told["sub"], &told["cnf"]["x5t#S256"]),
        (&"billing".into(), &x5t_s256(&billing.leaf()).into())
    );
    run(None, by("billing", "stranger.crt", "stranger.key")).await.failed(1, "invalid_client");
    run(None, by("billing", "billing.crt", "stranger.key")).await.failed(1, "TLS cannot be set up");
    let outcome = run(None, by("own", "own.crt", "own.key")).await;
    assert_eq!(claims(outcome.token())["sub"], "own");
    run(None, by("own", "billing.crt", "billing.key")).await.failed(1, "invalid_client");

    // The server demands a nonce, which costs nobody a second call.
    let dpop = new_client(directory, "dpop.pem", JwsAlgorithm::ES256).await;
    let more = [
        "--ca",
        "ca.pem",
        "--cert",
        "own.crt",
        "--key",
        "own.key",
        "--auth",
        "tls",
        "--dpop-key",
        "dpop.pem",
    ];
    let outcome = run(None, with("own", &more)).await;
    assert_eq!(claims(outcome.token())["cnf"]["jkt"], dpop.kid());
}

/// The key set of a self-signed certificate, as a table of TOML.
fn self_signed_jwk(pair: &Pair, x5c: &str) -> String {
    // The public key of a P-256 certificate ends its SPKI: the point, uncompressed.
    let leaf = pair.leaf();
    let (_, certificate) = x509_parser::parse_x509_certificate(&leaf).unwrap();
    let point = certificate.public_key().subject_public_key.data.to_vec();
    let (x, y) = point[1..].split_at(32);
    format!(
        "{{ keys = [{{ kty = \"EC\", crv = \"P-256\", x = \"{}\", y = \"{}\", x5c = [\"{x5c}\"] }}] }}",
        base64url(x),
        base64url(y)
    )
}
