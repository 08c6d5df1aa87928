//! Metadata and keys (RFC 8414, OpenID Connect Discovery 1.0, RFC 7517): their headers, and that they tell the truth.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{
    TestServer,
    assertion::{ClientKey, JWT_BEARER, by_secret, claims, keyed_client},
    auth::{basic, secret_of},
    forge::part,
    http::{get, post, post_as, send, token},
    server::{CLIENTS, ISSUER},
};

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/.well-known/jwks.json";

fn strings(document: &Value, member: &str) -> Vec<String> {
    document[member].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

// CHK-98, CHK-99, CHK-100, CHK-101, CHK-103
#[tokio::test(flavor = "multi_thread")]
async fn both_metadata_documents_say_the_same() {
    let server = TestServer::start().await;
    let (openid, oauth) = (get(&server, OPENID).await, get(&server, OAUTH).await);
    assert_eq!(openid.json(), oauth.json());
    assert!(openid.text().starts_with("{\n  \"issuer\": "), "pretty-printed");
    assert!(!oauth.text().contains('\n'));
    for reply in [&openid, &oauth] {
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("application/json"));
    }
    let document = openid.json();
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(part(&token(&server, "rs256").await, 1)["iss"], ISSUER);
    for (member, path) in [
        ("authorization_endpoint", "/authorize"),
        ("token_endpoint", "/token"),
        ("introspection_endpoint", "/introspect"),
        ("revocation_endpoint", "/revoke"),
        ("userinfo_endpoint", "/userinfo"),
        ("jwks_uri", JWKS),
    ] {
        assert_eq!(document[member], format!("{ISSUER}{path}"));
    }
    for (member, value) in document.as_object().unwrap() {
        assert!(
            !value.is_null() && value != "" && value.as_array().is_none_or(|a| !a.is_empty()),
            "{member}"
        );
        if member.ends_with("signing_alg_values_supported") {
            assert!(strings(&document, member).iter().all(|alg| !alg.eq_ignore_ascii_case("none")));
        }
    }
    assert_eq!(strings(&document, "subject_types_supported"), ["public"]);
    assert!(strings(&document, "id_token_signing_alg_values_supported").contains(&"RS256".to_owned()));
    assert!(document.get("scopes_supported").is_none(), "some clients ask for all that is listed");
}

// CHK-83, CHK-84, CHK-86, V-31
#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_holds_public_keys_alone() {
    let server = TestServer::start().await;
    let reply = get(&server, JWKS).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    let document = reply.json();
    assert_eq!(document.as_object().unwrap().len(), 1);
    let keys = document["keys"].as_array().unwrap();
    let algorithms: HashSet<_> = keys.iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(algorithms, HashSet::from(["RS256", "PS256", "ES256", "ES384", "EdDSA"]));
    let kids: HashSet<_> = keys.iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(kids.len(), keys.len());
    for key in keys {
        assert_eq!(key["use"], "sig");
        let members: HashSet<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        let own = match key["kty"].as_str().unwrap() {
            "RSA" => HashSet::from(["n", "e"]),
            "EC" => HashSet::from(["crv", "x", "y"]),
            "OKP" => HashSet::from(["crv", "x"]),
            other => panic!("{other}"),
        };
        assert_eq!(members, &HashSet::from(["kty", "use", "alg", "kid"]) | &own);
    }
    let symmetric = part(&token(&server, "hs256").await, 0)["kid"].as_str().unwrap().to_owned();
    assert!(!kids.contains(symmetric.as_str()));
}

// RFC 9110 §13.1.2
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_known_is_not_sent_again() {
    let server = TestServer::start().await;
    let mut etags = HashSet::new();
    for path in [OPENID, OAUTH, JWKS] {
        let reply = get(&server, path).await;
        let etag = reply.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2);
        assert!(reply.header("cache-control").unwrap().starts_with("public, max-age="));
        for known in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"x\", {etag}"),
            format!("\"x\" ,W/{etag}"),
            "*".into(),
        ] {
            let reply = send(&server, "GET", path, &[("if-none-match", &known)], b"").await;
            assert_eq!((reply.status, reply.body.len()), (304, 0), "{path} {known}");
            assert_eq!(reply.header("etag"), Some(etag.as_str()));
            assert!(reply.header("cache-control").is_some(), "RFC 9110 §15.4.5");
        }
        let two = [("if-none-match", "\"x\""), ("if-none-match", etag.as_str())];
        assert_eq!(send(&server, "GET", path, &two, b"").await.status, 304);
        for unknown in ["\"x\"", "", &etag[1..], &etag.to_lowercase().replace('"', "'")] {
            let reply = send(&server, "GET", path, &[("if-none-match", unknown)], b"").await;
            assert_eq!(reply.status, 200, "{path} {unknown}");
        }
        etags.insert(etag);
    }
    assert_eq!(etags.len(), 3);
}

// CHK-97, CHK-98
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_with_a_path_is_found_in_both_placements() {
    let issuer = "https://id.example/tenant/a";
    let server = TestServer::with_environment(CLIENTS, &[("ISSUER_URL", issuer)]).await;
    let expected = get(&server, OPENID).await.json();
    assert_eq!(expected["issuer"], issuer);
    assert_eq!(expected["token_endpoint"], format!("{issuer}/token"));
    assert_eq!(expected["jwks_uri"], format!("{issuer}{JWKS}"));
    for target in [
        "/tenant/a/.well-known/openid-configuration",
        "/.well-known/openid-configuration/tenant/a",
        "/tenant/a/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/tenant/a",
        OAUTH,
    ] {
        let reply = get(&server, target).await;
        assert_eq!((reply.status, reply.json()), (200, expected.clone()), "{target}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{target}");
    }
    // Every URL that the metadata names is served, below the path.
    let path_of = |member: &str| expected[member].as_str().unwrap()["https://id.example".len()..].to_owned();
    let grant = "grant_type=client_credentials";
    let issued = post_as(&server, "rs256", &path_of("token_endpoint"), grant).await;
    let token = issued.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(part(&token, 1)["iss"], issuer);
    let asked =
        post_as(&server, "rs256", &path_of("introspection_endpoint"), &format!("token={token}")).await;
    assert_eq!(asked.json()["active"], true);
    let bearer = [("authorization", &*format!("Bearer {token}"))];
    assert_eq!(send(&server, "GET", &path_of("userinfo_endpoint"), &bearer, b"").await.status, 200);
    assert_eq!(get(&server, &path_of("jwks_uri")).await.body, get(&server, JWKS).await.body);
    assert_eq!(get(&server, &path_of("authorization_endpoint")).await.status, 400);
    assert_eq!(send(&server, "GET", "/tenant/a/token", &[], b"").await.header("allow"), Some("POST"));
    for elsewhere in ["/tenant/token", "/tenant/b/token", "/tenant/a/tenant/a/token", "/tenant/a"] {
        assert_eq!(post_as(&server, "rs256", elsewhere, grant).await.status, 404, "{elsewhere}");
    }
}

// V-30, CHK-102
#[tokio::test(flavor = "multi_thread")]
async fn what_is_advertised_works_and_nothing_else_does() {
    let key = ClientKey::generate("ES256", "k");
    let keyed = keyed_client("keyed", &[&key], "");
    let secret = "0123456789abcdef0123456789abcdef";
    let hmac = format!(
        "[[clients]]\nclient_id = \"hmac\"\nclient_secret = \"{secret}\"\n\
         token_endpoint_auth_method = \"client_secret_jwt\"\naccess_token_signing_alg = \"ES256\"\n"
    );
    let server = TestServer::with(&format!("{CLIENTS}{keyed}{hmac}")).await;
    let document = get(&server, OPENID).await.json();
    let grant = "grant_type=client_credentials".to_owned();
    let ask = format!("token={}", token(&server, "es256").await);
    let authorization = basic("es256", &secret_of("es256"));
    let digest = "Digest username=\"es256\", response=\"secret-of-es256\"";
    let parameters = "&client_id=es256&client_secret=secret-of-es256";
    let assertion = |jwt: &str| format!("&client_assertion_type={JWT_BEARER}&client_assertion={jwt}");
    for (target, form, member) in [
        ("/token", &grant, "token_endpoint_auth_methods_supported"),
        ("/introspect", &ask, "introspection_endpoint_auth_methods_supported"),
        // Garbage is revoked by anybody who may ask.
        ("/revoke", &"token=garbage".to_owned(), "revocation_endpoint_auth_methods_supported"),
    ] {
        let advertised = strings(&document, member);
        // Each is used once.
        let by_hmac = assertion(&by_secret("HS256", secret, &claims("hmac")));
        let by_key = assertion(&key.assertion("ES256", &claims("keyed")));
        for (method, header, more) in [
            ("client_secret_basic", Some(authorization.as_str()), ""),
            ("client_secret_post", None, parameters),
            ("client_secret_jwt", None, &by_hmac),
            ("private_key_jwt", None, &format!("{by_key}&client_id=keyed")),
            ("an assertion of nobody", None, &assertion("a.b.c")),
            ("tls_client_auth", None, "&client_id=keyed"),
            ("none", None, "&client_id=es256"),
            ("none", None, "&client_id=public"),
            ("digest", Some(digest), ""),
            ("the token itself", Some(&format!("Bearer {}", &ask[6..])), ""),
        ] {
            let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
            let reply = post(&server, target, &headers, &format!("{form}{more}")).await;
            if advertised.contains(&method.to_owned()) {
                assert_eq!(reply.status, 200, "{method} at {target}: {}", reply.text());
            } else {
                // A token opens introspection when its scope says so, and is judged as a token.
                let bearer = method == "the token itself" && target == "/introspect";
                let error = if bearer { "invalid_token" } else { "invalid_client" };
                assert_eq!(reply.error(), error, "{method} at {target}");
            }
        }
        let every = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"];
        assert_eq!(advertised, every);
    }
    for grant in strings(&document, "grant_types_supported") {
        assert_eq!(post_as(&server, "es256", "/token", &format!("grant_type={grant}")).await.status, 200);
    }
    let used: HashSet<String> =
        strings(&document, "id_token_signing_alg_values_supported").into_iter().collect();
    for client in ["rs256", "ps256", "es256", "es384", "eddsa"] {
        let alg = part(&token(&server, client).await, 0)["alg"].as_str().unwrap().to_owned();
        assert!(used.contains(&alg), "{alg}");
    }
}

// CHK-25
#[tokio::test(flavor = "multi_thread")]
async fn a_registered_method_excludes_the_other() {
    let server = TestServer::start().await;
    let grant = "grant_type=client_credentials";
    for (client, basic_status, post_status) in [("basic-only", 200, 400), ("post-only", 401, 200)] {
        let by_header = post_as(&server, client, "/token", grant).await;
        let form = format!("{grant}&client_id={client}&client_secret={}", secret_of(client));
        let by_form = post(&server, "/token", &[], &form).await;
        assert_eq!((by_header.status, by_form.status), (basic_status, post_status), "{client}");
    }
}
