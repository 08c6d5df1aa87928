//! Tokens whose signature is right and something else is not (V-1, V-5..V-8, V-14).

use super::judge::Judge;
use crate::support::{
    forge::{self, Forge, b64, payload, payload_doubled, payload_with},
    server::{ISSUER, NOW},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_forge_makes_is_good_but_for_what_a_test_changes() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    judge.accepts(&forge.sign(&forge.header(), payload())).await;
    judge.accepts(&forge.sign(&forge.header_with("jku", "\"https://evil.example\""), payload())).await;
    let header = forge::replace(&forge.header(), "kid", &format!("\"{}\"", forge.hs256_kid));
    let header = forge::replace(&header, "alg", "\"HS256\"");
    judge.accepts(&forge::hs256(forge::shared_key(), &header, payload())).await;
    judge.accepts(&forge.sign(&forge.header(), payload_with("aud", "[\"a\",\"b\"]"))).await;
    judge.accepts(&forge.sign(&forge.header(), payload_with("nbf", &(NOW + 10).to_string()))).await;
    judge.accepts(&forge.sign(&forge.header(), payload_with("exp", &(NOW + 1).to_string()))).await;
}

// V-1, V-8, CHK-74: the algorithm is that of the key
#[tokio::test(flavor = "multi_thread")]
async fn no_other_algorithm() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let algorithms = [
        "none", "None", "NONE", "nOnE", "", "XX256", "rs256", "RS256 ", "RS384", "RS512", "PS256", "ES256",
        "HS256", "HS512", "EdDSA", "RSA1_5", "dir",
    ];
    for alg in algorithms {
        let header = forge.header_with("alg", &format!("\"{alg}\""));
        let signed = forge.sign(&header, payload());
        judge.refuses(&format!("alg {alg}, signed"), &signed).await;
        let (input, _) = signed.rsplit_once('.').unwrap();
        judge.refuses(&format!("alg {alg}, no signature"), &format!("{input}.")).await;
        judge.refuses(&format!("alg {alg}, some signature"), &format!("{input}.AAAA")).await;
        let without_kid = forge::replace(&header, "kid", "");
        let input = format!("{}.{}", b64(&without_kid), b64(payload()));
        judge.refuses(&format!("alg {alg}, no kid"), &format!("{input}.")).await;
    }
    for alg in ["", "null", "1", "[\"RS256\"]", "{}", "true"] {
        judge.refuses(&format!("alg is {alg}"), &forge.sign(&forge.header_with("alg", alg), payload())).await;
    }
}

// V-5, CHK-72, CHK-76, V-14, CHK-73: the header
#[tokio::test(flavor = "multi_thread")]
async fn no_other_header() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    for crit in ["[\"x\"]", "[]", "[\"exp\"]", "[\"alg\"]", "[\"x\",\"x\"]", "\"x\"", "null", "{}"] {
        judge
            .refuses(&format!("crit {crit}"), &forge.sign(&forge.header_with("crit", crit), payload()))
            .await;
    }
    let unencoded = forge::replace(&forge.header_with("crit", "[\"b64\"]"), "b64", "false");
    judge.refuses("b64 false", &forge.sign(&unencoded, payload())).await;
    judge.refuses("b64 without crit", &forge.sign(&forge.header_with("b64", "false"), payload())).await;
    let types = [
        "",
        "null",
        "1",
        "[\"at+jwt\"]",
        "\"\"",
        "\"JWT\"",
        "\"jwt\"",
        "\"dpop+jwt\"",
        "\"logout+jwt\"",
        "\"token-introspection+jwt\"",
        "\"client-authentication+jwt\"",
        "\"at+jwt \"",
        "\"at+jwtx\"",
    ];
    for typ in types {
        judge.refuses(&format!("typ {typ}"), &forge.sign(&forge.header_with("typ", typ), payload())).await;
    }
    let header = forge.header();
    for doubled in [
        format!("{{\"alg\":\"none\",{}", &header[1..]),
        format!("{},\"alg\":\"none\"}}", &header[..header.len() - 1]),
        format!("{{\"alg\":\"RS256\",{}", &header[1..]),
        format!("{{\"\\u0061lg\":\"RS256\",{}", &header[1..]),
        format!("{{\"kid\":\"x\",{}", &header[1..]),
        format!("{},\"typ\":\"at+jwt\"}}", &header[..header.len() - 1]),
    ] {
        judge.refuses(&doubled, &forge.sign(&doubled, payload())).await;
    }
    let not_json = ["", "[]", "\"x\"", "null", "{", "{}{}", "{\"alg\":\"RS256\"", &format!("{header} x")];
    for header in not_json {
        judge.refuses(&format!("header {header}"), &forge.sign(header, payload())).await;
    }
    let bom = format!("\u{feff}{header}");
    judge.refuses("a byte order mark", &forge.sign(&bom, payload())).await;
}

// V-6, V-7, CHK-81, CHK-89, CHK-45: the claims
#[tokio::test(flavor = "multi_thread")]
async fn no_other_claims() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let refuses = async |name: &str, value: &str| {
        let token = forge.sign(&forge.header(), payload_with(name, value));
        judge.refuses(&format!("{name}: {value}"), &token).await;
    };
    for claim in ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "azp"] {
        for value in ["", "null", "true", "{}", "[1]", "1e400", "-1"] {
            refuses(claim, value).await;
        }
    }
    let in_words = format!("\"{}\"", NOW + 60);
    let with_fraction = format!("{}.5", NOW + 60);
    for value in [&in_words, &with_fraction, "1e400", "-1e9", "99999999999999999999999", "[]", "\"\""] {
        for claim in ["exp", "iat", "nbf"] {
            refuses(claim, value).await;
        }
    }
    for (claim, time) in [("exp", 0), ("exp", NOW - 1), ("exp", NOW), ("nbf", NOW + 11), ("nbf", NOW + 3600)]
    {
        refuses(claim, &time.to_string()).await;
    }
    let upper = ISSUER.to_uppercase();
    let near = [
        format!("[\"{ISSUER}\"]"),
        format!("[\"https://evil.example\",\"{ISSUER}\"]"),
        format!("\"{ISSUER}/\""),
        format!("\"{upper}\""),
        format!("\"{}\"", &ISSUER[..ISSUER.len() - 1]),
        format!("\" {ISSUER}\""),
        format!("\"{ISSUER}.evil.example\""),
        "\"https://evil.example\"".to_owned(),
        "\"\"".to_owned(),
    ];
    for issuer in near {
        refuses("iss", &issuer).await;
    }
    for client_id in
        ["\"nobody\"", "\"disabled\"", "\"\"", "\"RS256\"", "\"rs256 \"", "\"a\\u0000\"", "[\"rs256\"]"]
    {
        refuses("client_id", client_id).await;
    }
    for (claim, value) in [
        ("aud", "[[\"a\"]]"),
        ("aud", "{\"a\":1}"),
        ("scope", "[\"read\"]"),
        ("scope", "\"a\\\"b\""),
        ("scope", "1"),
    ] {
        refuses(claim, value).await;
    }
}

// V-14, CHK-73, CHK-81: the payload as a text
#[tokio::test(flavor = "multi_thread")]
async fn no_other_payload() {
    let (server, forge) = Forge::with_server("").await;
    let judge = Judge::of(&server).await;
    let doubled = [
        r#""sub":"es256""#,
        r#""client_id":"es256""#,
        r#""exp":9999999999"#,
        r#""aud":"x""#,
        r#""\u0073ub":"x""#,
        r#""iss":"https://id.example""#,
        r#""scope":"admin""#,
        r#""extra":1,"extra":1"#,
    ];
    for member in doubled {
        judge.refuses(member, &forge.sign(&forge.header(), payload_doubled(member))).await;
    }
    let good = payload();
    let not_utf8 = good.replacen("forged-jti", "forged-\u{ff}", 1).replace('\u{ff}', "@").into_bytes();
    let not_utf8: Vec<u8> = not_utf8.into_iter().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    judge.refuses("not UTF-8", &forge.sign(&forge.header(), not_utf8)).await;
    for payload in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        format!("[{good}]"),
        format!("{good}{good}"),
        format!("{good} x"),
        good[..good.len() - 1].to_owned(),
        format!("\u{feff}{good}"),
        good.replace('"', "'"),
        format!("// {{}}\n{good}"),
        good.replacen('{', "{,", 1),
        good.replacen("\"forged-jti\"", "\"\\ud800\"", 1),
        good.replacen("\"forged-jti\"", "\"a\nb\"", 1),
        good.replacen(&NOW.to_string(), "NaN", 1),
        good.replacen(&NOW.to_string(), "01800000000", 1),
    ] {
        judge.refuses(&payload, &forge.sign(&forge.header(), &payload)).await;
    }
}
