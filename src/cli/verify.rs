//! `mintage token verify`: the signature against a key set, then the claims that bound a token's use (RFC 7519 §4.1).

use clap::Args;
use serde_json::json;

use super::{
    json_text, jwks,
    output::{Failure, Report},
    token,
};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    jose::{
        JwkSet, JwsAlgorithm,
        json::{Members, OneOrMany},
        jws::UnverifiedJws,
    },
    secret::Secret,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The token; - reads it from standard input, which keeps it out of the list of processes
    #[arg(value_parser = token::token_argument, default_value = "-", hide_default_value = true)]
    token: Secret<String>,
    /// Key set of the issuer: a file, or an https or http URL
    #[arg(long, value_name = "FILE|URL")]
    jwks: String,
    /// The iss the token must have
    #[arg(long)]
    issuer: Option<String>,
    /// An aud the token must have
    #[arg(long)]
    audience: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<Report, Failure> {
    let expected = Expected { issuer: arguments.issuer, audience: arguments.audience };
    let keys = jwks::read(&arguments.jwks)?;
    let token = token::read(arguments.token)?;
    verify(token.expose(), &keys, &expected, SystemClock.now())
}

#[derive(Debug, Default)]
struct Expected {
    issuer: Option<String>,
    audience: Option<String>,
}

/// All checks of the claims run, so that the failure names each one that is not met.
fn verify(token: &str, keys: &JwkSet, expected: &Expected, now: Timestamp) -> Result<Report, Failure> {
    let payload = verify_signature(token, keys).map_err(|problem| not_valid(vec![problem]))?;
    let claims = Members::parse(&payload).map_err(|error| not_valid(vec![format!("claims: {error}")]))?;

    let mut checks = vec!["signature"];
    let mut problems = Vec::new();
    for (name, outcome) in [
        ("exp", Some(check_exp(&claims, now))),
        ("nbf", check_nbf(&claims, now)),
        ("iss", expected.issuer.as_deref().map(|issuer| check_iss(&claims, issuer))),
        ("aud", expected.audience.as_deref().map(|audience| check_aud(&claims, audience))),
    ] {
        match outcome {
            None => {}
            Some(Ok(())) => checks.push(name),
            Some(Err(problem)) => problems.push(format!("{name}: {problem}")),
        }
    }
    if !problems.is_empty() {
        return Err(not_valid(problems));
    }

    let claims = String::from_utf8_lossy(&payload);
    let text = format!("ok: {}\nclaims {}\n", checks.join(", "), json_text::pretty(&claims));
    Ok(Report {
        text,
        json: format!("{{\"verified\":true,\"checks\":{},\"claims\":{claims}}}", json!(checks)),
    })
}

fn not_valid(problems: Vec<String>) -> Failure {
    Failure::with_problems(format!("the token is not valid: {}", problems.join("; ")), problems)
}

fn verify_signature(token: &str, keys: &JwkSet) -> Result<Vec<u8>, String> {
    let jws =
        UnverifiedJws::parse(token).map_err(|error| format!("token: {error}; pass one JWT unchanged"))?;
    let header = jws.header();
    let alg: JwsAlgorithm = header.alg.parse().map_err(|_| {
        "signature: its alg is not one that can be verified; ask for a token with RS256, PS256, ES256, ES384 or EdDSA"
    })?;
    if alg.is_symmetric() {
        return Err(format!(
            "signature: {alg} has no public key; introspect the token at its issuer instead"
        ));
    }
    let key = keys.find(header.kid.as_deref(), alg).found().ok_or_else(|| {
        format!("signature: not exactly one key of the set fits {alg} and the kid of the token; use the JWKS of its issuer")
    })?;
    jws.verify(key).map_err(|error| format!("signature: {error}; use the JWKS of its issuer"))
}

/// RFC 7519 §4.1.4: on or after `exp` the token is over. Tokens without an end are not accepted.
fn check_exp(claims: &Members<'_>, now: Timestamp) -> Result<(), String> {
    let exp = numeric_date(claims, "exp")?.ok_or("the claim is missing, so the token would never end")?;
    if now.seconds() >= exp {
        return Err(format!("the token expired {} s ago; get a new one", now.seconds() - exp));
    }
    Ok(())
}

/// RFC 7519 §4.1.5
fn check_nbf(claims: &Members<'_>, now: Timestamp) -> Option<Result<(), String>> {
    match numeric_date(claims, "nbf") {
        Ok(None) => None,
        Ok(Some(nbf)) if nbf > now.seconds() => {
            Some(Err(format!("the token begins in {} s; wait, or set the clock", nbf - now.seconds())))
        }
        Ok(Some(_)) => Some(Ok(())),
        Err(problem) => Some(Err(problem)),
    }
}

/// RFC 7519 §4.1.1, compared as a string.
fn check_iss(claims: &Members<'_>, issuer: &str) -> Result<(), String> {
    match claims.optional::<String>("iss") {
        Ok(Some(iss)) if iss == issuer => Ok(()),
        Ok(Some(iss)) => Err(format!("the token is from {iss:?}, not from the --issuer given")),
        Ok(None) => Err("the claim is missing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// RFC 7519 §4.1.3: one of the audiences must be the expected one.
fn check_aud(claims: &Members<'_>, audience: &str) -> Result<(), String> {
    match claims.optional::<OneOrMany>("aud") {
        Ok(Some(aud)) => {
            let aud = aud.into_vec();
            if aud.iter().any(|aud| aud == audience) {
                return Ok(());
            }
            Err(format!("the token is for {aud:?}, not for the --audience given"))
        }
        Ok(None) => Err("the claim is missing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A NumericDate (RFC 7519 §2) as whole seconds. A fraction is cut off, which ends a token early rather than late.
fn numeric_date(claims: &Members<'_>, name: &'static str) -> Result<Option<u64>, String> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds: f64 = value.get().parse().map_err(|_| "the claim is not a number".to_owned())?;
    if !(0.0..=9_007_199_254_740_992.0).contains(&seconds) {
        return Err("the claim is outside the range of times".to_owned());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
    let seconds = seconds as u64;
    Ok(Some(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{SigningAlgorithm, SigningKey, jwk::PublishedJwkSet};

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    struct Fixture {
        key: SigningKey,
        keys: JwkSet,
    }

    impl Fixture {
        fn new(alg: SigningAlgorithm) -> Self {
            let key = SigningKey::generate(alg).unwrap();
            let published = PublishedJwkSet { keys: vec![key.jwk().unwrap().clone()] };
            Self { key, keys: JwkSet::parse(&serde_json::to_vec(&published).unwrap()).unwrap() }
        }

        fn verify(&self, claims: &str) -> Result<Report, Failure> {
            let expected =
                Expected { issuer: Some("https://a.example".to_owned()), audience: Some("b".to_owned()) };
            verify(&self.key.sign_access_token(claims.as_bytes()).unwrap(), &self.keys, &expected, NOW)
        }

        /// What the failure says, for a token that must be refused.
        fn refusal(&self, claims: &str) -> String {
            format!("{:?}", self.verify(claims).unwrap_err())
        }
    }

    const GOOD: &str = r#"{"iss":"https://a.example","aud":["a","b"],"exp":1001,"nbf":1000,"n":1.10}"#;

    #[test]
    fn a_valid_token_of_every_published_algorithm() {
        for alg in SigningAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()) {
            let report = Fixture::new(alg).verify(GOOD).unwrap();
            assert_eq!(
                report.json,
                format!(
                    r#"{{"verified":true,"checks":["signature","exp","nbf","iss","aud"],"claims":{GOOD}}}"#
                )
            );
        }
    }

    #[test]
    fn each_check_is_named_when_it_fails() {
        let fixture = Fixture::new(SigningAlgorithm::ES256);
        for (from, to, named) in [
            ("\"exp\":1001", "\"exp\":1000", "exp: the token expired 0 s ago"),
            ("\"exp\":1001", "\"x\":1", "exp: the claim is missing"),
            ("\"exp\":1001", "\"exp\":\"1001\"", "exp: the claim is not a number"),
            ("\"exp\":1001", "\"exp\":-1", "exp: the claim is outside"),
            ("\"nbf\":1000", "\"nbf\":1001", "nbf: the token begins in 1 s"),
            ("a.example", "A.example", "iss: the token is from"),
            ("\"iss\"", "\"x\"", "iss: the claim is missing"),
            ("[\"a\",\"b\"]", "\"a\"", "aud: the token is for"),
            ("\"aud\"", "\"x\"", "aud: the claim is missing"),
            ("\"nbf\"", "\"exp\"", "claims: "),
        ] {
            let refusal = fixture.refusal(&GOOD.replace(from, to));
            assert!(refusal.contains(named), "{named}: {refusal}");
        }
        let all = fixture.refusal(r#"{"exp":1,"nbf":2000,"iss":"x","aud":"x"}"#);
        assert!(["exp: ", "nbf: ", "iss: ", "aud: "].iter().all(|name| all.contains(name)), "{all}");
    }

    #[test]
    fn a_signature_of_another_key_is_refused() {
        let (one, other) = (Fixture::new(SigningAlgorithm::ES256), Fixture::new(SigningAlgorithm::ES256));
        let token = one.key.sign_access_token(GOOD.as_bytes()).unwrap();
        let refusal = verify(&token, &other.keys, &Expected::default(), NOW).unwrap_err();
        assert!(format!("{refusal:?}").contains("signature: not exactly one key"));

        let (signed, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{signed}.{}", "A".repeat(86));
        let refusal = verify(&forged, &one.keys, &Expected::default(), NOW).unwrap_err();
        assert!(format!("{refusal:?}").contains("signature: its signature is wrong"));
    }

    // CHK-74
    #[test]
    fn algorithms_without_a_public_key_are_refused() {
        let fixture = Fixture::new(SigningAlgorithm::ES256);
        for alg in ["none", "HS256", "RS512"] {
            let token = format!("{}.e30.AA", crate::jose::base64url(format!(r#"{{"alg":"{alg}"}}"#)));
            let refusal = verify(&token, &fixture.keys, &Expected::default(), NOW).unwrap_err();
            assert!(format!("{refusal:?}").contains("signature: "), "{refusal:?}");
        }
    }
}
