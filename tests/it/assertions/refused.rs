//! What must be refused: each assertion is a good one but for one thing.

use mintage::jose::{json::InvalidJson, jws::InvalidJws};

use super::{AssertionRefusal as R, *};

// CHK-60, CHK-63, CHK-65, CHK-66, CHK-67, CHK-68, V-6, V-7, V-15, V-17, V-18
#[tokio::test(flavor = "multi_thread")]
async fn every_claim_counts() {
    let (server, key) = server_of_one("").await;
    let member = |name| R::Claims(InvalidJson::Member(name));
    let missing = |name| R::Claims(InvalidJson::Missing(name));
    for (name, value, expected) in [
        ("iss", json!(null), missing("iss")),
        ("iss", json!("c2"), R::Subject),
        ("iss", json!("c"), R::Subject),
        ("iss", json!("c1 "), R::Subject),
        ("iss", json!(["evil", "c1"]), member("iss")),
        ("iss", json!(["c1"]), member("iss")),
        ("iss", json!(1), member("iss")),
        ("aud", json!(null), missing("aud")),
        ("aud", json!([ISSUER, "https://evil.example"]), R::Audience),
        ("aud", json!([ISSUER, ISSUER]), R::Audience),
        ("aud", json!([]), R::Audience),
        ("aud", json!(format!("{ISSUER}/token")), R::Audience),
        ("aud", json!(format!("{ISSUER}/")), R::Audience),
        ("aud", json!("https://id.exampl"), R::Audience),
        ("aud", json!("HTTPS://ID.EXAMPLE"), R::Audience),
        ("aud", json!({ "0": ISSUER }), member("aud")),
        ("aud", json!([1]), member("aud")),
        ("exp", json!(null), missing("exp")),
        ("exp", json!(NOW - 10), R::Expired),
        ("exp", json!(NOW - 3600), R::Expired),
        ("exp", json!(NOW + 301), R::Lifetime),
        ("exp", json!(NOW + 48 * 3600), R::Lifetime),
        ("exp", json!((NOW + 60).to_string()), member("exp")),
        ("exp", json!(true), member("exp")),
        ("exp", json!([NOW + 60]), member("exp")),
        ("exp", json!(-1), member("exp")),
        ("iat", json!(NOW + 11), R::NotYet),
        ("iat", json!(NOW + 61), R::NotYet),
        ("iat", json!(NOW - 241), R::Lifetime),
        ("iat", json!("now"), member("iat")),
        ("nbf", json!(NOW + 61), R::NotYet),
        ("nbf", json!(false), member("nbf")),
        ("jti", json!(null), missing("jti")),
        ("jti", json!(""), R::Identifier),
        ("jti", json!("x".repeat(257)), R::Identifier),
        ("jti", json!(7), member("jti")),
    ] {
        let assertion = key.assertion("ES256", &claims_with("c1", name, value.clone()));
        assert_eq!(
            refusal(&server, &assertion, &format!("{name} {value}")).await,
            expected,
            "{name} {value}"
        );
    }
    // `null` is not absent, and 1e400 is no number (V-6).
    for (name, value) in
        [("exp", "null"), ("iat", "null"), ("nbf", "null"), ("exp", "1e400"), ("iat", "1e400")]
    {
        let payload = crate::support::forge::replace(&claims("c1").to_string(), name, value);
        let assertion = key.sign("ES256", &header("ES256", "k1"), payload);
        assert_eq!(refusal(&server, &assertion, value).await, member(name), "{name} {value}");
    }
}

// CHK-59, CHK-60, V-19: whose assertion it is
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_of_one_client() {
    let (key, other) = (ClientKey::generate("ES256", "k1"), ClientKey::generate("ES256", "k2"));
    let off = ClientKey::generate("ES256", "k3");
    let clients = keyed_client("c1", &[&key], "")
        + &keyed_client("c2", &[&other], "")
        + &keyed_client("off", &[&off], "enabled = false");
    let server = server_with(&clients).await;
    let of = |refused: ClientRefusal| match refused {
        ClientRefusal::Assertion(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let good = key.assertion("ES256", &claims("c1"));
    assert_eq!(of(refused_for(&server, &presented_as("c2", &good), "client_id").await), R::NoKey);
    assert_eq!(of(refused_for(&server, &presented_as("nobody", &good), "unknown").await), R::Client);
    // One key registered for two clients makes neither the other.
    let shared = server_with(&(keyed_client("c1", &[&key], "") + &keyed_client("c2", &[&key], ""))).await;
    assert_eq!(of(refused_for(&shared, &presented_as("c2", &good), "shared").await), R::Subject);

    // Issuer and subject are each the client.
    for name in ["iss", "sub"] {
        let assertion = key.assertion("ES256", &claims_with("c1", name, json!("c2")));
        assert_eq!(
            of(refused_for(&server, &presented_as("c1", &assertion), name).await),
            R::Subject,
            "{name}"
        );
    }

    let without = |name: &str| {
        let mut claims = claims("c1");
        claims.as_object_mut().unwrap().remove(name);
        key.assertion("ES256", &claims)
    };
    // Without `sub` and `client_id` nobody is named.
    let refused = refused_for(&server, &presented(&without("sub")), "no sub").await;
    assert_eq!(refused, ClientRefusal::MalformedCredentials);
    let refused = of(refused_for(&server, &presented_as("c1", &without("sub")), "no sub").await);
    assert_eq!(refused, R::Claims(InvalidJson::Missing("sub")));
    for (who, signer) in [("nobody", &key), ("off", &off), ("resource-server", &key)] {
        let assertion = signer.assertion("ES256", &claims(who));
        assert_eq!(refusal(&server, &assertion, who).await, R::Client, "{who}");
    }
    assert_eq!(refusal(&server, &other.assertion("ES256", &claims("c1")), "kid").await, R::NoKey);
    let stolen = other.sign("ES256", &header("ES256", "k1"), claims("c1").to_string());
    assert_eq!(refusal(&server, &stolen, "signature").await, R::Signature);
}

// CHK-64, CHK-76, V-15: another kind of JWT is no assertion, and an assertion is nothing else
#[tokio::test(flavor = "multi_thread")]
async fn other_kinds_of_token_are_no_assertions() {
    let (server, key) = server_of_one("").await;
    for typ in
        ["at+jwt", "application/at+jwt", "dpop+jwt", "token-introspection+jwt", "secevent+jwt", "", "JWT "]
    {
        let header = json!({ "alg": "ES256", "kid": "k1", "typ": typ }).to_string();
        let assertion = key.sign("ES256", &header, claims("c1").to_string());
        assert_eq!(refusal(&server, &assertion, typ).await, R::Type, "{typ}");
    }
    let [rest, grpc] = Wire::both(&server).await;
    let good = key.assertion("ES256", &claims("c1"));
    for wire in [rest, grpc] {
        let token = wire.granted(&presented(&key.assertion("ES256", &claims("c1"))), &Issue::default()).await;
        assert_eq!(refusal(&server, &token, "an access token").await, R::Type);
        // An assertion is not a token: neither bearer nor active.
        assert_eq!(error(wire.userinfo(Some(&good)).await), "invalid_token");
        let auth = presented(&key.assertion("ES256", &claims("c1")));
        let answer = wire.introspect(&auth, &good).await.unwrap();
        assert_eq!(answer, json!({ "active": false }));
    }
}

// V-1, V-2, V-8, V-12, CHK-69, CHK-74, CHK-80: the algorithm is the client's, and the key is for it
#[tokio::test(flavor = "multi_thread")]
async fn the_algorithm_is_not_for_the_sender_to_choose() {
    let (rsa, ec) = (ClientKey::generate("RS256", "rsa"), ClientKey::generate("ES256", "ec"));
    let clients = keyed_client("c1", &[&rsa, &ec], "")
        + &keyed_client("listed", &[&rsa, &ec], "token_endpoint_auth_signing_alg = [\"PS256\"]");
    let server = server_with(&clients).await;

    for alg in ["none", "None", "nOnE", "NONE", "XX256", "", "es256", "ES512", "ES256K", "RS1"] {
        let unsigned =
            format!("{}.{}.", b64(json!({ "alg": alg }).to_string()), b64(claims("c1").to_string()));
        let refused = refused_for(&server, &presented_as("c1", &unsigned), alg).await;
        assert_eq!(refused, ClientRefusal::Assertion(R::Malformed(InvalidJws::Shape)), "{alg}");
        let signed = ec.sign("ES256", &header(alg, "ec"), claims("c1").to_string());
        assert_eq!(refusal(&server, &signed, alg).await, R::UnknownAlgorithm, "{alg}");
    }
    // The public key as a shared secret.
    let jwk = rsa.jwk();
    let n = crate::support::forge::unb64(jwk["n"].as_str().unwrap());
    let document = reqwest::get(server.url("/.well-known/jwks.json")).await.unwrap().text().await.unwrap();
    for secret in
        [jwk.to_string().as_bytes(), &n, jwk["n"].as_str().unwrap().as_bytes(), document.as_bytes(), b""]
    {
        for alg in ["HS256", "HS384", "HS512"] {
            let assertion =
                crate::support::forge::hs256(secret, &header(alg, "rsa"), claims("c1").to_string());
            assert_eq!(refusal(&server, &assertion, alg).await, R::Algorithm, "{alg}");
        }
    }
    // Not on the client's list, and on it.
    for (key, alg) in [(&ec, "ES256"), (&rsa, "RS256"), (&rsa, "PS384")] {
        let assertion = key.assertion(alg, &claims("listed"));
        assert_eq!(refusal(&server, &assertion, alg).await, R::Algorithm, "{alg}");
    }
    granted(&Wire::both(&server).await[0], &presented(&rsa.assertion("PS256", &claims("listed")))).await;
    // A header that names another algorithm than the signature is of.
    for (key, signed, named) in [(&rsa, "RS256", "PS256"), (&rsa, "PS256", "RS256"), (&rsa, "RS256", "RS512")]
    {
        let assertion = key.sign(signed, &header(named, &key.kid), claims("c1").to_string());
        assert_eq!(refusal(&server, &assertion, named).await, R::Signature, "{signed} {named}");
    }
    let wrong_type = rsa.sign("RS256", &header("ES256", "rsa"), claims("c1").to_string());
    assert_eq!(refusal(&server, &wrong_type, "type").await, R::NoKey);
    // ECDSA signatures of another form.
    let good = ec.assertion("ES256", &claims("c1"));
    let (input, signature) = good.rsplit_once('.').unwrap();
    let raw = crate::support::forge::unb64(signature);
    let mut der = vec![0x30, 68, 0x02, 32];
    der.extend([&raw[..32], &[0x02, 32], &raw[32..]].concat());
    for signature in [vec![0; 64], raw[..63].to_vec(), [&raw[..], &[0]].concat(), der] {
        let assertion = format!("{input}.{}", b64(signature));
        assert_eq!(refusal(&server, &assertion, "form").await, R::Signature);
    }
}

// V-5, V-9, V-10, V-14, CHK-71, CHK-72, CHK-73, CHK-81: what is no JWS of the strict form
#[tokio::test(flavor = "multi_thread")]
async fn the_form_is_strict() {
    let (server, key) = server_of_one("").await;
    let malformed = |assertion: String| {
        let server = &server;
        async move {
            let what: String = assertion.chars().take(60).collect();
            match refused_for(server, &presented_as("c1", &assertion), &what).await {
                ClientRefusal::Assertion(R::Malformed(_)) => {}
                other => panic!("{what}: {other:?}"),
            }
        }
    };
    let good = key.assertion("ES256", &claims("c1"));
    let [head, payload, signature] = crate::support::jwt::parts(&good);
    for text in [
        "x".to_owned(),
        "..".to_owned(),
        format!("{head}.{payload}"),
        format!("{good}.{signature}"),
        format!("{good}.{payload}.{signature}"),
        format!("{good}="),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{head}.{payload}."),
        "a".repeat(20_000),
        ".".repeat(20_000),
    ] {
        malformed(text).await;
    }
    for header in [
        r#"{"alg":"ES256","kid":"k1","crit":["x"],"x":1}"#,
        r#"{"alg":"ES256","kid":"k1","crit":[]}"#,
        r#"{"alg":"ES256","kid":"k1","crit":["exp"]}"#,
        r#"{"alg":"ES256","kid":"k1","crit":["b64"],"b64":false}"#,
        r#"{"alg":"ES256","alg":"none","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":1}"#,
        r#"{"alg":"ES256","typ":null}"#,
        r#"{"kid":"k1"}"#,
        r#"["ES256"]"#,
    ] {
        malformed(key.sign("ES256", header, claims("c1").to_string())).await;
    }
    // Five parts, as an encrypted token has: refused by shape, whatever is in it (V-10).
    let jwe = b64(r#"{"alg":"PBES2-HS256+A128KW","enc":"A128CBC-HS256","p2c":2147483647,"zip":"DEF"}"#);
    malformed(format!("{jwe}.AA.AA.AA.AA")).await;

    let claims = claims("c1").to_string();
    let with = |text: &str| format!("{{{text},{}", &claims[1..]);
    for payload in [
        with(r#""sub":"c1""#).into_bytes(),
        with(r#""s\u0075b":"evil""#).into_bytes(),
        [b"{\"x\":\"\xff\",", &claims.as_bytes()[1..]].concat(),
        format!("[{claims}]").into_bytes(),
        b"1".to_vec(),
        b"".to_vec(),
        with(&(0..300).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",")).into_bytes(),
    ] {
        let assertion = key.sign("ES256", &header("ES256", "k1"), &payload);
        let what = String::from_utf8_lossy(&payload).chars().take(40).collect::<String>();
        match refused_for(&server, &presented_as("c1", &assertion), &what).await {
            ClientRefusal::Assertion(R::Claims(InvalidJson::Object)) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}
