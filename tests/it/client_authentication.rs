//! Client authentication (RFC 6749 §2.3), over REST and gRPC alike: what is accepted, and that every refusal looks alike.

use crate::support::{
    Auth, Issue, TestServer, WRONG, Wire,
    auth::{basic, raw_basic, secret_of},
    error,
    server::CLIENTS,
};

/// Every operation that authenticates a client must refuse with this code.
async fn refused(wire: &Wire, auth: &Auth, code: &str) {
    let issued = wire.issue(auth, &Issue::default()).await;
    assert_eq!(error(issued), code, "{wire:?} issue {auth:?}");
    let answered = wire.introspect(auth, "x").await;
    assert_eq!(error(answered), code, "{wire:?} introspect {auth:?}");
}

async fn accepted(wire: &Wire, auth: &Auth) {
    let token = wire.granted(auth, &Issue::default()).await;
    let answer = wire.introspect(auth, &token).await.unwrap();
    assert_eq!(answer["active"], true, "{wire:?} {auth:?}");
}

// CHK-7, CHK-22, V-24: identifiers and secrets with every character that could confuse a parser
#[tokio::test(flavor = "multi_thread")]
async fn both_methods_accept_any_identifier_and_secret() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for client_id in ["es256", "a:b c", "generated"] {
            accepted(&wire, &Auth::of(client_id)).await;
            accepted(&wire, &Auth::post(client_id)).await;
        }
    }
}

// CHK-23: in a form-encoded part, "+" and "%20" are both a space; what needs no encoding may be encoded all the same
#[tokio::test(flavor = "multi_thread")]
async fn basic_parts_are_form_decoded() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for pair in [
            "a%3Ab+c:p%25%2B%3A%2F%3D+x",
            "a%3Ab%20c:p%25%2B%3A%2F%3D%20x",
            "%61%3ab%20c:%70%25%2b%3a%2f%3d%20%78",
            // After the first colon another one needs no encoding.
            "a%3Ab+c:p%25%2B:/=+x",
        ] {
            accepted(&wire, &Auth::header(raw_basic(pair))).await;
        }
        // A scheme has no case, and the pair may be the plain one when it has nothing to encode (RFC 7617).
        accepted(&wire, &Auth::header(raw_basic("es256:secret-of-es256"))).await;
        accepted(&wire, &Auth::header(raw_basic("es256:secret-of-es256").replacen("Basic", "bAsIc", 1)))
            .await;
        for pair in ["a:b c:p%25%2B%3A%2F%3D+x", "a%3Ab+c:p%+:/= x", "a%253Ab+c:p%25%2B%3A%2F%3D+x"] {
            refused(&wire, &Auth::header(raw_basic(pair)), "invalid_client").await;
        }
    }
}

// CHK-24, V-23, V-24
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_credentials_are_refused() {
    let server = TestServer::shared().await;
    let good = basic("es256", &secret_of("es256"));
    let encoded = good.split_once(' ').unwrap().1;
    for wire in Wire::both(server).await {
        accepted(&wire, &Auth::header(good.clone())).await;
        for pair in [
            &b""[..],
            b"es256",
            b":",
            b":secret-of-es256",
            b"es256:",
            b"es256:%zz",
            b"es256:100%",
            b"%ff:x",
            b"\xff:x",
        ] {
            refused(&wire, &Auth::header(raw_basic(pair)), "invalid_client").await;
        }
        for value in [
            "Basic",
            "Basic ",
            "Basic ???",
            "Basic:",
            "Digest username=\"es256\"",
            encoded,
            &format!("Basic{encoded}"),
            &format!("Basic {encoded}x"),
            &format!("Basic {encoded} x"),
            &format!("Basic {encoded}, Basic {encoded}"),
            &format!("Basic {}", encoded.trim_end_matches('=').to_owned() + "===="),
        ] {
            refused(&wire, &Auth::header(value), "invalid_client").await;
        }
        // A token is no client authentication; to ask about tokens it is a way of its own.
        let outcome = wire.issue(&Auth::header("Bearer x"), &Issue::default()).await;
        assert_eq!(error(outcome), "invalid_client");
        let overlong = "x".repeat(256);
        for client_id in ["\u{e9}", "es256\n", "es256\0", &overlong] {
            refused(&wire, &Auth::form(client_id, WRONG), "invalid_client").await;
            refused(&wire, &Auth::basic(client_id, WRONG), "invalid_client").await;
        }
    }
}

// CHK-17, CHK-18, CHK-31, V-23: the status and the challenge, which depend on the header alone, are checked with every
// refusal by `support::refused`
#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_secrets_are_refused() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        refused(&wire, &Auth::None, "invalid_client").await;
        let right = secret_of("es256");
        for secret in [
            WRONG.to_owned(),
            String::new(),
            right[..right.len() - 1].to_owned(),
            format!("{right} "),
            format!("{right}\0"),
            right.to_uppercase(),
            secret_of("rs256"),
            "es256".to_owned(),
        ] {
            refused(&wire, &Auth::basic("es256", &secret), "invalid_client").await;
            refused(&wire, &Auth::form("es256", &secret), "invalid_client").await;
        }
        let generated = secret_of("generated");
        for secret in [WRONG, &generated[..47], &generated.to_lowercase(), &format!("{generated}x")] {
            refused(&wire, &Auth::basic("generated", secret), "invalid_client").await;
            refused(&wire, &Auth::form("generated", secret), "invalid_client").await;
        }
        refused(&wire, &Auth::form("ES256", &right), "invalid_client").await;
    }
}

// CHK-19: one method per request, even when both are right
#[tokio::test(flavor = "multi_thread")]
async fn two_methods_are_one_too_many() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        for secret in [secret_of("es256"), WRONG.to_owned()] {
            refused(&wire, &Auth::Both("es256".to_owned(), secret), "invalid_request").await;
        }
    }
}

// CHK-148: two headers are no identity, not even twice the same; a proxy and this server could read different ones
#[tokio::test(flavor = "multi_thread")]
async fn two_headers_are_no_identity() {
    let server = TestServer::shared().await;
    let [es256, hs256] = ["es256", "hs256"].map(|client_id| basic(client_id, &secret_of(client_id)));
    for wire in Wire::both(server).await {
        for values in [
            vec![es256.clone(), es256.clone()],
            vec![es256.clone(), hs256.clone()],
            vec![es256.clone(), "Bearer x".to_owned()],
            vec![String::new(), es256.clone()],
            vec![es256.clone(), String::new()],
        ] {
            refused(&wire, &Auth::Headers(values), "invalid_client").await;
        }
    }
}

// V-19: an identifier beside the credentials must be theirs
#[tokio::test(flavor = "multi_thread")]
async fn a_second_identifier_must_agree() {
    let server = TestServer::shared().await;
    let beside = |other: &str| Auth::BasicBeside("es256".to_owned(), secret_of("es256"), other.to_owned());
    for wire in Wire::both(server).await {
        accepted(&wire, &beside("es256")).await;
        for other in ["hs256", "ES256", "es256 ", "es25"] {
            refused(&wire, &beside(other), "invalid_request").await;
        }
    }
}

// CHK-20, V-13, CHK-57: this server offers no assertions, and never looks past one; messages have no field for one
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_beside_a_secret_is_refused() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    for (assertion, kind) in [("junk", jwt_bearer), ("junk", ""), ("", jwt_bearer), ("a.b.c", "other")] {
        let form = |path: &'static str| {
            let mut form =
                vec![("client_assertion", assertion.to_owned()), ("client_assertion_type", kind.to_owned())];
            form.push(if path == "/token" {
                ("grant_type", "client_credentials".to_owned())
            } else {
                ("token", "x".to_owned())
            });
            form
        };
        for path in ["/token", "/introspect"] {
            for auth in [Auth::of("es256"), Auth::post("es256"), Auth::form("es256", WRONG)] {
                let outcome = rest.post(path, &auth, form(path)).await;
                assert_eq!(error(outcome), "invalid_request", "{path} {auth:?}");
            }
            // CHK-57: one without the other; CHK-58
            let alone =
                if assertion.is_empty() || kind.is_empty() { "invalid_request" } else { "invalid_client" };
            assert_eq!(error(rest.post(path, &Auth::None, form(path)).await), alone, "{path} {kind}");
        }
    }
}

// CHK-21: a URL is no place for credentials
#[tokio::test(flavor = "multi_thread")]
async fn credentials_in_the_query_are_refused() {
    let server = TestServer::shared().await;
    let [rest, _] = Wire::both(server).await;
    let grant = || vec![("grant_type", "client_credentials".to_owned())];
    for query in [
        "client_id=es256&client_secret=secret-of-es256",
        "client_id=es256",
        "client_secret=secret-of-es256",
        "%63lient_secret=x",
        "x=y&client_assertion=a.b.c",
    ] {
        for auth in [Auth::None, Auth::of("es256"), Auth::post("es256")] {
            let outcome = rest.post(&format!("/token?{query}"), &auth, grant()).await;
            assert_eq!(error(outcome), "invalid_request", "{query} {auth:?}");
        }
    }
    assert!(rest.post("/token?x=y", &Auth::of("es256"), grant()).await.is_ok());
}

// CHK-25
#[tokio::test(flavor = "multi_thread")]
async fn a_registered_method_is_the_only_one() {
    let server = TestServer::shared().await;
    for wire in Wire::both(server).await {
        accepted(&wire, &Auth::of("basic-only")).await;
        refused(&wire, &Auth::post("basic-only"), "invalid_client").await;
        accepted(&wire, &Auth::post("post-only")).await;
        refused(&wire, &Auth::of("post-only"), "invalid_client").await;
    }
}

// V-22: whatever is wrong, a stranger sees the same bytes; V-25: of a disabled client too
#[tokio::test(flavor = "multi_thread")]
async fn all_refusals_look_alike() {
    let server = TestServer::shared().await;
    let [rest, grpc] = Wire::both(server).await;
    let mut seen = Vec::new();
    for (client_id, secret) in [
        ("es256", WRONG.to_owned()),
        ("es256", "chosen".to_owned()),
        ("generated", WRONG.to_owned()),
        ("unknown", WRONG.to_owned()),
        ("unknown", "chosen".to_owned()),
        ("disabled", secret_of("disabled")),
        ("disabled", WRONG.to_owned()),
        ("public", "chosen".to_owned()),
        ("\u{e9}", "chosen".to_owned()),
    ] {
        for (method, auth) in
            [("basic", Auth::basic(client_id, &secret)), ("post", Auth::form(client_id, &secret))]
        {
            seen.push((method, client_id.to_owned(), answers(&rest, &grpc, &auth).await));
        }
    }
    seen.push(("post", "wrong method".to_owned(), answers(&rest, &grpc, &Auth::post("basic-only")).await));
    seen.push(("basic", "wrong method".to_owned(), answers(&rest, &grpc, &Auth::of("post-only")).await));
    for method in ["basic", "post"] {
        let mut of_method = seen.iter().filter(|(used, ..)| *used == method);
        let (_, _, first) = of_method.next().unwrap();
        for (_, client_id, answer) in of_method {
            assert_eq!(answer, first, "{method} {client_id}");
        }
    }
}

/// Everything a stranger sees of a refused /token, /introspect and Issue, but for date and request id.
async fn answers(rest: &Wire, grpc: &Wire, auth: &Auth) -> Vec<String> {
    let mut seen = Vec::new();
    for (path, name, value) in [("/token", "grant_type", "client_credentials"), ("/introspect", "token", "x")]
    {
        let mut form = vec![(name, value.to_owned())];
        form.extend(auth.parameters());
        let mut request = reqwest::Client::new()
            .post(rest.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(crate::support::auth::encode(&form));
        for header in auth.headers() {
            request = request.header("authorization", header);
        }
        let response = request.send().await.unwrap();
        let mut headers = response.headers().clone();
        assert!(headers.remove("date").is_some() & headers.remove("x-request-id").is_some());
        seen.push(format!("{} {headers:?}", response.status()));
        seen.push(response.text().await.unwrap());
    }
    let message = mintage::grpc::pb::token::IssueRequest {
        client_authentication: auth
            .message()
            .map(mintage::grpc::pb::token::issue_request::ClientAuthentication::ClientSecret),
        ..Default::default()
    };
    let status = grpc.grpc().issue(auth.call(message)).await.unwrap_err();
    let mut metadata = status.metadata().clone().into_headers();
    metadata.remove("date");
    metadata.remove("x-request-id");
    seen.push(format!("{:?} {} {:?} {metadata:?}", status.code(), status.message(), status.details()));
    seen
}

// V-22, equal work, counted and not timed: once a source has spent its budget of failures it gets no more Argon2id, so
// "try again later" says that Argon2id would have been spent, and "invalid_client" that it would not. Which of them comes
// depends on the form of the presented secret alone.
#[tokio::test(flavor = "multi_thread")]
async fn all_refusals_cost_the_same() {
    let toml = CLIENTS.replacen("failed_auth_rate = \"off\"", "failed_auth_rate = \"5/10s\"", 1);
    let server = TestServer::with(&toml).await;
    for wire in Wire::both(&server).await {
        let mut last = String::new();
        for n in 0..=40 {
            let auth = Auth::form(&format!("nobody-{n}"), "chosen");
            last = error(wire.issue(&auth, &Issue::default()).await);
        }
        assert_eq!(last, "temporarily_unavailable");
        for client_id in ["es256", "generated", "unknown", "disabled", "public", "basic-only"] {
            for (secret, expected) in [("chosen", "temporarily_unavailable"), (WRONG, "invalid_client")] {
                let outcome = wire.issue(&Auth::form(client_id, secret), &Issue::default()).await;
                assert_eq!(error(outcome), expected, "{wire:?} {client_id} {secret}");
            }
        }
        // The right secret of a disabled client, and by the wrong method, is one more wrong secret.
        for auth in [Auth::of("disabled"), Auth::post("basic-only")] {
            assert_eq!(
                error(wire.issue(&auth, &Issue::default()).await),
                "temporarily_unavailable",
                "{auth:?}"
            );
        }
    }
}
