//! Texts that are no signed tokens (V-9, V-10, CHK-71).

use super::judge::Judge;
use crate::support::{
    TestServer,
    auth::{basic, secret_of},
    forge::{self, Forge, b64, payload, payload_with},
    http::{get, post_as, token},
    raw_grpc::{Connection, INTROSPECT, framed},
};

// CHK-71, V-11
#[tokio::test(flavor = "multi_thread")]
async fn only_the_canonical_form_of_a_good_token_is_good() {
    let server = TestServer::start().await;
    let judge = Judge::of(&server).await;
    for client in ["rs256", "es256", "eddsa", "hs256"] {
        let good = token(&server, client).await;
        judge.accepts(&good).await;
        let parts: Vec<&str> = good.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("three parts") };
        let mut damaged = vec![
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}..{signature}"),
            format!(".{claims}.{signature}"),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}.{signature}"),
            format!("{good}.e30.AA"),
            format!("{good}="),
            format!("{good}=="),
            format!("{header}=.{claims}.{signature}"),
            format!(" {good}"),
            format!("{good} "),
            format!("{good}\n"),
            format!("{good}\0"),
            format!("\"{good}\""),
            format!("{header}.{claims}.{signature}{signature}"),
            format!("{header}.{claims}.{}", &signature[..signature.len() - 4]),
            format!("{header}.{claims}.{}", &signature[4..]),
            format!("{header}.{claims}.+/{}", &signature[2..]),
            good.replacen("eyJ", "eyI", 1),
            good.to_lowercase(),
            format!("Bearer {good}"),
        ];
        damaged.extend((0..signature.len()).step_by(7).chain([signature.len() - 1]).flat_map(|at| {
            // The bit that every character has, and the bits that the last one may not use.
            [1, 2, 4, 16].map(|flip| format!("{header}.{claims}.{}", flipped(signature, at, flip)))
        }));
        damaged.extend(
            (0..claims.len())
                .step_by(31)
                .map(|at| format!("{header}.{}.{signature}", flipped(claims, at, 1))),
        );
        for token in damaged {
            judge.refuses(&token, &token).await;
        }
        judge.accepts(&good).await;
    }
}

/// The text with some of the six bits of one base64url character turned over.
fn flipped(text: &str, at: usize, bits: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = text.as_bytes().to_vec();
    let value = ALPHABET.iter().position(|c| *c == bytes[at]).unwrap();
    bytes[at] = ALPHABET[value ^ bits];
    String::from_utf8(bytes).unwrap()
}

// V-10
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_tokens_are_no_tokens() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let kid = &forge.rsa_kid;
    for header in [
        format!(r#"{{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF","typ":"at+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"RSA1_5","enc":"A128CBC-HS256","typ":"at+jwt","kid":"{kid}"}}"#),
        r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}"#.to_owned(),
        r#"{"alg":"dir","enc":"A128GCM","zip":"DEF"}"#.to_owned(),
        r#"{"alg":"ECDH-ES","enc":"A128GCM","epk":{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}}"#.to_owned(),
    ] {
        let jwe = format!(
            "{}.{}.{}.{}.{}",
            b64(&header),
            b64([1; 256]),
            b64([2; 12]),
            b64([3; 2048]),
            b64([4; 16])
        );
        judge.refuses(&header, &jwe).await;
        let as_jws = forge.sign(&header, payload());
        judge.refuses(&header, &as_jws).await;
        judge.refuses(&header, &format!("{}....", b64(&header))).await;
    }
    let nested = forge.sign(&forge.header_with("cty", "\"JWT\""), forge.sign(&forge.header(), payload()));
    judge.refuses("a token in a token", &nested).await;
}

// V-9: what fits into a request is refused by its length before it is split
#[tokio::test(flavor = "multi_thread")]
async fn long_tokens_are_refused() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let filler = |length: usize| {
        forge.sign(&forge.header(), payload_with("filler", &format!("\"{}\"", "a".repeat(length))))
    };
    judge.accepts(&filler(10 * 1024)).await;
    judge.refuses("a good token that is too long", &filler(14 * 1024)).await;

    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let many: String = (0..1000).map(|n| format!("\"c{n}\":0,")).collect();
    let many = format!("{{{many}{}", &payload()[1..]);
    for (name, token) in [
        ("60 KiB of dots", ".".repeat(20 * 1024)),
        ("a long header", format!("{}.e30.AA", b64(vec![b'a'; 30 * 1024]))),
        ("a header of arrays", forge.sign(&deep(3000), payload())),
        ("a deep header member", forge.sign(&forge.header_with("typ", &deep(3000)), payload())),
        ("a deep exp", forge.sign(&forge.header(), payload_with("exp", &deep(3000)))),
        ("a deep aud", forge.sign(&forge.header(), payload_with("aud", &deep(3000)))),
        ("a thousand claims", forge.sign(&forge.header(), many)),
        ("a number of 6,000 digits", forge.sign(&forge.header(), payload_with("exp", &"9".repeat(6000)))),
        ("a huge exponent", forge.sign(&forge.header(), payload_with("exp", "1e999999999"))),
        (
            "a huge fraction",
            forge.sign(&forge.header(), payload_with("nbf", &format!("0.{}", "1".repeat(6000)))),
        ),
    ] {
        judge.refuses(name, &token).await;
    }
    // A claim that is deep and correctly signed is nobody's attack, but it must not end the server either.
    let deep_claim = forge.sign(&forge.header(), payload_with("deep", &deep(3000)));
    let (status, _) = judge.introspected(&deep_claim).await;
    assert_eq!(status, 200);
    judge.introspected_by_grpc(&deep_claim).await;
    judge.accepts(&token(&server, "es256").await).await;
}

// V-9: what does not fit is refused as a request
#[tokio::test(flavor = "multi_thread")]
async fn huge_tokens_are_refused_unread() {
    let server = TestServer::start().await;
    let authorization = basic("es256", &secret_of("es256"));
    for (name, token) in [
        ("1 MiB of dots", ".".repeat(1024 * 1024)),
        ("a header of 200 KiB", format!("{}.e30.AA", b64(vec![b'a'; 200 * 1024]))),
        ("arrays 100,000 deep", format!("{}.e30.AA", b64("[".repeat(100_000)))),
        ("a number of a million digits", format!("e30.{}.AA", b64("1".repeat(1_000_000)))),
    ] {
        let reply = post_as(&server, "es256", "/introspect", &format!("token={token}")).await;
        assert_eq!(reply.refusal(), (413, "invalid_request".to_owned()), "{name}");
        let message =
            mintage::grpc::pb::token::IntrospectRequest { token: token.clone(), ..Default::default() };
        let connection = Connection::open(&server).await;
        match connection.call(INTROSPECT, &[("authorization", &authorization)], framed(&message)).await {
            Ok(answer) => assert!([Some(8), Some(11)].contains(&answer.grpc_status), "{name}: {answer:?}"),
            Err(error) => assert!(error.is_reset() || error.is_go_away() || error.is_io(), "{name}: {error}"),
        }
        let bearer = [("authorization", &*format!("Bearer {token}"))];
        let reply = crate::support::http::send(&server, "GET", "/userinfo", &bearer, b"").await;
        assert_eq!(reply.status, 431, "{name}");
    }
    assert_eq!(get(&server, "/healthz").await.status, 200);
    assert_eq!(forge::part(&token(&server, "es256").await, 1)["client_id"], "es256");
}
