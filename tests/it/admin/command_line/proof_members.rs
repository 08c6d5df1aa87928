//! Keys, certificates and binding as flags.

use super::{Host, text};
use crate::support::admin::JWKS;

#[test]
fn keys_and_binding_are_flags() {
    let host = Host::new();
    let jwks = host.file("jwks.json", &format!("{JWKS}\n"));
    let created = host.json(&[
        "create",
        "--client-id",
        "billing",
        "--auth-method",
        "private_key_jwt",
        "--profile",
        "compat",
        "--auth-signing-alg",
        "ES256",
        "--jwks-file",
        &jwks,
        "--tls-client-auth-subject-dn",
        "CN=billing,O=\u{202e}Example",
        "--spiffe-id",
        "spiffe://example.org/billing",
        "--federated",
        "https://cluster.example=system:serviceaccount:prod:*",
        "--federated",
        "https://ci.example=repo:a=b",
        "--dpop-bound-access-tokens",
    ]);
    let client = &created["client"];
    assert_eq!(text(client, "profile"), "compat");
    assert_eq!(text(client, "token_endpoint_auth_signing_alg"), "ES256");
    assert_eq!(
        client["jwks"].to_string(),
        serde_json::from_str::<serde_json::Value>(JWKS).unwrap().to_string()
    );
    assert_eq!(text(&client["federated"][1], "issuer"), "https://ci.example");
    assert_eq!(text(&client["federated"][1], "subject"), "repo:a=b");
    assert_eq!(client["dpop_bound_access_tokens"], true);
    assert!(client.get("tls_client_certificate_bound_access_tokens").is_none());

    let shown = host.client(&["show", "billing"]);
    for line in [
        "private_key_jwt",
        "compat",
        "\"kid\": \"1\"",
        "CN=billing,O=\\u{202e}Example",
        "spiffe://example.org/billing",
        "\"https://cluster.example\" = \"system:serviceaccount:prod:*\"",
        "dpop_bound_access_tokens",
    ] {
        assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout);
    }
    assert!(!shown.stdout.contains('\u{202e}')); // V-72

    host.client(&["update", "billing", "--jwks-uri", "https://a.example/keys"])
        .failed(2, "is set beside jwks");
    let updated = host.json(&[
        "update",
        "billing",
        "--jwks-uri",
        "https://a.example/keys",
        "--clear",
        "jwks",
        "--clear",
        "federated",
        "--dpop-bound-access-tokens=false",
        "--tls-client-certificate-bound-access-tokens",
    ]);
    assert_eq!(text(&updated, "jwks_uri"), "https://a.example/keys");
    assert!(updated.get("jwks").is_none() && updated.get("federated").is_none());
    assert_eq!(updated["dpop_bound_access_tokens"], false);
    assert_eq!(updated["tls_client_certificate_bound_access_tokens"], true);
    let configured = host.json(&["show", "configured"]);
    assert_eq!(
        (text(&configured, "profile"), &configured["dpop_bound_access_tokens"]),
        ("strict", &false.into())
    );
}

// V-25
#[test]
fn a_client_with_keys_has_no_secret() {
    let host = Host::new();
    let jwks = host.file("jwks.json", JWKS);
    let keyed = ["--auth-method", "private_key_jwt", "--jwks-file", &jwks];
    let created = host.client(&[&["create", "--client-id", "keyed"], &keyed[..]].concat());
    assert!(created.code == 0 && created.stdout.contains("It has no secret"), "{created:?}");
    host.client(&["secret", "add", "keyed"]).failed(1, "\"private_key_jwt\" uses no secret");
    let secret = host.file("secret", "correct horse battery");
    let with_secret = [&["create", "--client-id", "x", "--secret-file", &secret], &keyed[..]].concat();
    host.client(&with_secret).failed(2, "uses no secret");

    host.json(&["create", "--client-id", "c"]);
    let updated = host.client(&[&["update", "c"], &keyed[..]].concat());
    assert!(updated.stdout.contains("have ended; see: mintage client secret list c"), "{updated:?}");
    assert!(text(&host.json(&["secret", "list", "c"])["secrets"][0], "expire_time") < "2099");
}

#[test]
fn what_is_wrong_with_them_is_said_in_one_sentence() {
    let host = Host::new();
    let create = |flags: &[&str]| host.client(&[&["create", "--client-id", "c"], flags].concat());
    create(&["--auth-method", "private_key_jwt"]).failed(2, "needs the client's public keys");
    create(&["--auth-method", "tls_client_auth"]).failed(2, "exactly one of tls_client_auth_subject_dn");
    create(&["--jwks-file", "nowhere.json"]).failed(1, "nowhere.json: cannot be read");
    create(&["--jwks-file", &host.file("empty", "\n")]).failed(1, "is empty");
    create(&["--jwks-file", &host.file("text", "keys")]).failed(2, "must be a JSON object");
    create(&["--federated", "https://cluster.example"]).failed(2, "ISSUER=SUBJECT");
    create(&["--profile", "loose"]).failed(2, "profile");
    create(&["--dpop-bound-access-tokens=perhaps"]).failed(2, "--dpop-bound-access-tokens");
    host.client(&["show", "c"]).failed(1, "no client");
}
