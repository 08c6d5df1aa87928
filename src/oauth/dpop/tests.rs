use serde_json::{Map, Value, json};

use super::*;
use crate::jose::PrivateKey;

const NOW: u64 = 1_800_000_000;

fn dpop(nonce: bool) -> Dpop {
    let nonce_secret = nonce.then(|| Secret::new([7; 32]));
    Dpop::new(&DpopPolicy { max_age: Duration::from_secs(60), nonce_secret })
}

fn target() -> Target {
    Target { method: "POST", uri: "https://id.example/token".to_owned() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[expect(clippy::needless_pass_by_value, reason = "it takes what json! makes")]
fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Signs a proof; what is `null` in the changes is left out.
fn sign(key: &PrivateKey, header: Value, claims: Value) -> Secret<String> {
    let mut full = [
        object(json!({ "typ": "dpop+jwt", "jwk": key.jwk() })),
        object(json!({ "jti": "j", "htm": "POST", "htu": "https://id.example/token", "iat": NOW })),
    ];
    for (full, changes) in full.iter_mut().zip([header, claims]) {
        full.extend(object(changes));
        full.retain(|_, value| !value.is_null());
    }
    let [header, claims] = full;
    Secret::new(key.sign(header, Value::Object(claims).to_string().as_bytes()).unwrap())
}

fn es256() -> PrivateKey {
    PrivateKey::generate(JwsAlgorithm::ES256).unwrap()
}

fn check(proof: Secret<String>, now: u64) -> Result<Proof, Error> {
    dpop(false).check(&[proof], &target(), at(now))
}

fn refusal(result: Result<Proof, Error>) -> String {
    match result {
        Err(Error::InvalidDpopProof(text)) => text.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

// CHK-122
#[test]
fn every_asymmetric_algorithm_makes_proofs() {
    for alg in JwsAlgorithm::ALL.into_iter().filter(|alg| !alg.is_symmetric()) {
        let key = PrivateKey::generate(alg).unwrap();
        let proof = check(sign(&key, json!({}), json!({"ath": "a"})), NOW).unwrap();
        let expected = Proof {
            jkt: key.kid().to_owned(),
            jti: "j".to_owned(),
            ath: Some("a".to_owned()),
            until: at(NOW + 70),
        };
        assert_eq!(proof, expected, "{alg}");
    }
}

// RFC 9449 §4.1, figure 2: the proof of the RFC, at its time; §6.1: the thumbprint of its key.
#[test]
fn the_proofs_of_the_rfc() {
    const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let target = Target { method: "POST", uri: "https://server.example.com/token".to_owned() };
    let proof = dpop(false).check(&[Secret::from(TOKEN_REQUEST)], &target, at(1_562_262_616)).unwrap();
    assert_eq!(proof.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(proof.jti, "-BwC3ESc6acc2lTc");

    // §7.1, figure 13: with an access token.
    const RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let target = Target { method: "GET", uri: "https://resource.example.org/protectedresource".to_owned() };
    let proof = dpop(false).check(&[Secret::from(RESOURCE_REQUEST)], &target, at(1_562_262_618)).unwrap();
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    assert_eq!(proof.ath.unwrap(), base64url(digest::digest(&digest::SHA256, token.as_bytes())));
}

// CHK-118, CHK-119, V-48
#[test]
fn what_is_no_proof_is_refused() {
    let key = es256();
    let two = [sign(&key, json!({}), json!({})), sign(&key, json!({}), json!({"jti": "k"}))];
    assert_eq!(refusal(dpop(false).check(&two, &target(), at(NOW))), "there is more than one DPoP proof");
    assert_eq!(refusal(dpop(false).check(&[], &target(), at(NOW))), "a DPoP proof is required");
    for text in ["", "x", "a.b", "a.b.c", "e30.e30.e30"] {
        assert!(refusal(check(Secret::from(text), NOW)).contains("not a well-formed JWT"), "{text}");
    }
    assert!(refusal(check(Secret::new("a".repeat(20_000)), NOW)).contains("too long"));
}

// CHK-119, V-3, V-48, CHK-76
#[test]
fn headers_that_lack_something_are_refused() {
    let key = es256();
    let other = es256();
    let mut private = serde_json::to_value(key.jwk()).unwrap();
    private["d"] = "AAAA".into();
    for (header, expected) in [
        (json!({"typ": null}), "typ"),
        (json!({"typ": "JWT"}), "typ"),
        (json!({"typ": "at+jwt"}), "typ"),
        (json!({"typ": "dpop+jwt2"}), "typ"),
        (json!({"typ": "x/dpop+jwt"}), "typ"),
        (json!({"jwk": null}), "no jwk"),
        (json!({"jwk": "x"}), "sound public key"),
        (json!({"jwk": private}), "sound public key"),
        (json!({"jwk": {"kty": "oct", "k": "AAAA"}}), "sound public key"),
        (json!({"jwk": PrivateKey::generate(JwsAlgorithm::ES384).unwrap().jwk()}), "sound public key"),
        (json!({"jwk": other.jwk()}), "signature"),
        (json!({"crit": ["exp"]}), "well-formed"),
    ] {
        let text = refusal(check(sign(&key, header.clone(), json!({})), NOW));
        assert!(text.contains(expected), "{header}: {text}");
    }
    for typ in ["DPoP+JWT", "application/dpop+jwt", "Application/DPOP+jwt"] {
        assert!(check(sign(&key, json!({"typ": typ}), json!({})), NOW).is_ok(), "{typ}");
    }

    // A symmetric algorithm, and none, whatever key comes with it (V-2).
    let shared = PrivateKey::from_shared_secret(JwsAlgorithm::HS256, &[b'k'; 32]).unwrap();
    for jwk in [serde_json::to_value(key.jwk()).unwrap(), json!({"kty": "oct", "k": base64url([b'k'; 32])})] {
        let text = refusal(check(sign(&shared, json!({"jwk": jwk}), json!({})), NOW));
        assert!(text.contains("alg"), "{text}");
    }
    let proof = sign(&key, json!({}), json!({}));
    let (_, rest) = proof.expose().split_once('.').unwrap();
    let header = json!({"typ": "dpop+jwt", "alg": "none", "jwk": key.jwk()});
    let none = format!("{}.{rest}", base64url(header.to_string()));
    assert!(refusal(check(Secret::new(none), NOW)).contains("alg"));
}

// CHK-119, CHK-120, V-6, V-18, V-48
#[test]
fn claims_that_are_missing_or_wrong_are_refused() {
    let key = es256();
    for (claims, expected) in [
        (json!({"jti": null}), "lacks jti"),
        (json!({"htm": null}), "lacks jti"),
        (json!({"htu": null}), "lacks jti"),
        (json!({"iat": null}), "lacks jti"),
        (json!({"jti": 1}), "lacks jti"),
        (json!({"iat": "1800000000"}), "lacks jti"),
        (json!({"iat": true}), "lacks jti"),
        (json!({"iat": [NOW]}), "lacks jti"),
        (json!({"iat": -1}), "iat"),
        (json!({"iat": 1e300}), "iat"),
        (json!({"ath": 1}), "lacks jti"),
        (json!({"nonce": 1}), "lacks jti"),
        (json!({"jti": ""}), "empty or too long"),
        (json!({"jti": "x".repeat(257)}), "empty or too long"),
        (json!({"htm": "GET"}), "htm"),
        (json!({"htm": "post"}), "htm"),
        (json!({"htu": "https://id.example/userinfo"}), "htu"),
        (json!({"htu": "https://evil.example/token"}), "htu"),
        (json!({"htu": "http://id.example/token"}), "htu"),
    ] {
        let text = refusal(check(sign(&key, json!({}), claims.clone()), NOW));
        assert!(text.contains(expected), "{claims}: {text}");
    }
    for claims in [
        json!({"jti": "x".repeat(256)}),
        json!({"htu": "HTTPS://id.example:443/token?a#b"}),
        json!({"nonce": "whatever"}),
        json!({"iat": NOW as f64 + 0.5}),
    ] {
        assert!(check(sign(&key, json!({}), claims.clone()), NOW).is_ok(), "{claims}");
    }
}

// CHK-121
#[test]
fn a_proof_is_good_for_a_while() {
    let key = es256();
    for (claims, is_good) in [
        (json!({"exp": NOW + 1, "nbf": NOW}), true),
        (json!({"exp": NOW - 9, "nbf": NOW + 9}), true),
        (json!({"exp": NOW - 10}), false),
        (json!({"nbf": NOW + 11}), false),
        (json!({"nbf": 1e300}), false),
        (json!({"exp": "never"}), false),
    ] {
        assert_eq!(check(sign(&key, json!({}), claims.clone()), NOW).is_ok(), is_good, "{claims}");
    }
    for (iat, is_good) in
        [(NOW - 61, false), (NOW - 60, true), (NOW, true), (NOW + 10, true), (NOW + 11, false)]
    {
        let result = check(sign(&key, json!({}), json!({"iat": iat})), NOW);
        if is_good {
            // V-46: the claim lasts as long as any replica accepts the proof.
            assert_eq!(result.unwrap().until, at(iat + 70));
        } else {
            assert!(refusal(result).contains("iat"), "{iat}");
        }
    }
}

// CHK-124
#[test]
fn where_nonces_are_required_only_ours_will_do() {
    let (key, dpop) = (es256(), dpop(true));
    let check = |claims: Value, now| dpop.check(&[sign(&key, json!({}), claims)], &target(), at(now));
    let nonce = |result: Result<Proof, Error>| match result {
        Err(Error::UseDpopNonce { nonce }) => nonce,
        other => panic!("{other:?}"),
    };
    let first = nonce(check(json!({}), NOW));
    assert_eq!(nonce(check(json!({"nonce": "made-up"}), NOW)), first);
    assert!(check(json!({"nonce": first}), NOW).is_ok());
    let later = NOW + 120;
    let next = nonce(check(json!({"nonce": first, "iat": later}), later));
    assert_ne!(next, first);
    assert!(check(json!({"nonce": next, "iat": later}), later).is_ok());
    // A nonce does not excuse anything else.
    assert!(refusal(check(json!({"nonce": next, "iat": NOW}), later)).contains("iat"));
    assert!(refusal(check(json!({"htm": "GET"}), NOW)).contains("htm"));
}
