//! Tokens signed with a key that is not the one their `kid` names, or with one they bring along (V-2, V-3, V-4, V-12).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::engine::{Engine, general_purpose::STANDARD};
use tokio::net::TcpListener;

use super::judge::Judge;
use crate::support::{
    forge::{self, Forge, b64, payload, pem, replace, unb64},
    http::{get, token},
};

/// Everything public about a key that some library has taken for a shared secret.
fn public_forms(jwk: &serde_json::Value, spki: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    if let Some(spki) = spki {
        let text = pem("PUBLIC KEY", spki);
        forms.extend([
            text.as_bytes().to_vec(),
            text.trim_end().as_bytes().to_vec(),
            text.replace('\n', "\r\n").into_bytes(),
            text.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
            spki.to_vec(),
            b64(spki).into_bytes(),
        ]);
    }
    for member in ["n", "e", "x", "y", "kid"] {
        if let Some(text) = jwk[member].as_str() {
            forms.extend([text.as_bytes().to_vec(), unb64(text)]);
        }
    }
    forms.extend([jwk.to_string().into_bytes(), serde_json::to_vec_pretty(jwk).unwrap()]);
    forms
}

// V-2
#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_shared_secret() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let mut secrets = Vec::new();
    for jwk in forge.jwks["keys"].as_array().unwrap() {
        let spki = (jwk["kid"] == forge.rsa_kid.as_str()).then_some(&forge.spki[..]);
        secrets.extend(public_forms(jwk, spki).into_iter().map(|secret| (jwk["kid"].clone(), secret)));
    }
    let text = get(&server, "/.well-known/jwks.json").await.body;
    secrets.push((forge.rsa_kid.clone().into(), text));
    secrets.push((forge.rsa_kid.clone().into(), Vec::new()));
    assert!(secrets.len() > 30);
    for (kid, secret) in secrets {
        for kid in [kid.as_str(), Some(&*forge.hs256_kid), None] {
            let header = r#"{"typ":"at+jwt","alg":"HS256"}"#;
            let header = kid.map_or(header.to_owned(), |kid| replace(header, "kid", &format!("\"{kid}\"")));
            judge.refuses(&format!("{header} {secret:?}"), &forge::hs256(&secret, &header, payload())).await;
        }
    }
}

// V-3, CHK-75
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_header_is_not_used() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let own = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let numbers = {
        let public = aws_lc_rs::signature::KeyPair::public_key(&own);
        let part = |bytes: &[u8]| b64(bytes);
        (
            part(public.modulus().big_endian_without_leading_zero()),
            part(public.exponent().big_endian_without_leading_zero()),
        )
    };
    let (n, e) = &numbers;
    let jwk =
        |kid: &str| format!(r#"{{"kty":"RSA","kid":"{kid}","alg":"RS256","use":"sig","n":"{n}","e":"{e}"}}"#);
    let x5c = format!("[\"{}\"]", STANDARD.encode(b"not even a certificate"));
    for kid in [Some(forge.rsa_kid.as_str()), Some("own"), None] {
        let base = replace(&forge.header(), "kid", &kid.map_or(String::new(), |kid| format!("\"{kid}\"")));
        for (member, value) in [
            ("jwk", jwk(kid.unwrap_or_default())),
            ("x5c", x5c.clone()),
            ("jwks", format!("{{\"keys\":[{}]}}", jwk("own"))),
            ("x5t#S256", "\"AAAA\"".to_owned()),
        ] {
            let header = replace(&base, member, &value);
            judge.refuses(&header, &forge::rs256(&own, &header, payload())).await;
        }
        judge.refuses(&base, &forge::rs256(&own, &base, payload())).await;
    }
    // The server's key, named by nobody, or by a name that is another key's.
    for kid in [
        "",
        "null",
        "1",
        "[]",
        "\"\"",
        &format!("\"{}\"", forge.hs256_kid),
        &format!("\" {}\"", forge.rsa_kid),
    ] {
        let header = forge.header_with("kid", kid);
        judge.refuses(&header, &forge.sign(&header, payload())).await;
    }
    for key in forge.jwks["keys"].as_array().unwrap().iter().filter(|key| key["alg"] != "RS256") {
        let header = forge.header_with("kid", &key["kid"].to_string());
        judge.refuses(&header, &forge.sign(&header, payload())).await;
        let header = replace(&header, "alg", &key["alg"].to_string());
        judge.refuses(&header, &forge.sign(&header, payload())).await;
    }
}

// V-4, CHK-75
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_header_points_at_is_fetched() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let accepting = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, SeqCst);
        }
    });
    let own = KeyPair::generate(KeySize::Rsa2048).unwrap();
    for member in ["jku", "x5u", "iss", "jwks_uri"] {
        for url in
            [format!("http://{address}/jwks"), format!("file:///proc/self/environ#{address}"), "x".into()]
        {
            for kid in [&forge.rsa_kid, "unknown"] {
                let header = forge.header_with(member, &format!("\"{url}\""));
                let header = replace(&header, "kid", &format!("\"{kid}\""));
                judge.refuses(&header, &forge::rs256(&own, &header, payload())).await;
            }
        }
    }
    let claims = forge::payload_with("iss", &format!("\"http://{address}\""));
    judge.refuses("foreign issuer", &forge::rs256(&own, &forge.header(), claims)).await;
    // One more connection, of our own, shows that the counter counts.
    tokio::net::TcpStream::connect(address).await.unwrap();
    while seen.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(seen.load(SeqCst), 1, "nobody but the test has connected");
    accepting.abort();
}

// V-4: a kid is a name, not a path and not a query
#[tokio::test(flavor = "multi_thread")]
async fn hostile_key_identifiers() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let long = format!("\"{}\"", "k".repeat(8 * 1024));
    let kids = [
        r#""../../dev/null""#,
        r#""/dev/null""#,
        r#""' OR 1=1--""#,
        r#""\u0000""#,
        r#""a\u0000b""#,
        r#""%00""#,
        r#""\r\nx: y""#,
        r#""\u001b[31m""#,
        r#""${jndi:ldap://x}""#,
        r#""*""#,
        r#""__proto__""#,
        &long,
    ];
    for kid in kids {
        let header = forge.header_with("kid", kid);
        judge.refuses(kid, &forge.sign(&header, payload())).await;
        let header = replace(&header, "alg", "\"HS256\"");
        judge.refuses(kid, &forge::hs256(b"", &header, payload())).await;
        judge.refuses(kid, &forge::hs256(forge::shared_key(), &header, payload())).await;
    }
}

// V-12, CHK-80: ECDSA signatures that prove nothing, under the server's own keys
#[tokio::test(flavor = "multi_thread")]
async fn degenerate_ecdsa_signatures() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let good = token(&server, "es256").await;
    judge.accepts(&good).await;
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = unb64(signature);
    let (r, s) = signature.split_at(32);
    let n = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let der = |r: &[u8], s: &[u8]| {
        let integer = |bytes: &[u8]| [&[2, bytes.len() as u8 + 1, 0], bytes].concat();
        let body = [integer(r), integer(s)].concat();
        [&[0x30, body.len() as u8], &body[..]].concat()
    };
    let zero = vec![0; 32];
    for (name, bytes) in [
        ("r = s = 0", vec![0; 64]),
        ("r = 0", [&zero, s].concat()),
        ("s = 0", [r, &zero].concat()),
        ("r = n", [&n, s].concat()),
        ("s = n", [r, &n].concat()),
        ("r = s = n", [&n[..], &n].concat()),
        ("all ones", vec![0xff; 64]),
        ("DER", der(r, s)),
        ("one byte short", signature[..63].to_vec()),
        ("one byte long", [&signature[..], &[0]].concat()),
        ("r and s swapped", [s, r].concat()),
        ("96 bytes", vec![1; 96]),
        ("leading zeros", [&[0], r, &[0], s].concat()),
    ] {
        judge.refuses(name, &format!("{input}.{}", b64(bytes))).await;
    }
    for alg in ["ES384", "EdDSA", "ES512"] {
        let key = forge.jwks["keys"].as_array().unwrap().iter().find(|key| key["alg"] == alg);
        let kid = key.map_or("x".into(), |key| key["kid"].as_str().unwrap().to_owned());
        let header = format!(r#"{{"typ":"at+jwt","alg":"{alg}","kid":"{kid}"}}"#);
        for length in [64, 96, 132] {
            judge
                .refuses(alg, &format!("{}.{}.{}", b64(&header), b64(payload()), b64(vec![0; length])))
                .await;
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}
