use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    jose::SigningAlgorithm,
    oauth::client::{Client, registration::RegistrationDefaults},
};

/// The public key of RFC 7517 App. A.1, with another use.
fn key() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM" })
}

/// A client with these members, read as the store reads it.
fn client(members: &Value) -> Result<Client, Vec<String>> {
    let mut json = json!({ "client_id": "c" });
    json.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    // By way of text: JSON that is kept as it was written cannot be read from a value.
    let registration: ClientRegistration = serde_json::from_str(&json.to_string()).unwrap();
    let defaults = RegistrationDefaults {
        signing_alg: SigningAlgorithm::ES256,
        lifetime: Duration::from_secs(3600),
        max_lifetime: Duration::from_secs(86400),
    };
    registration
        .check_with_secrets(&defaults, Vec::new())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn proof(members: &Value) -> ProofMembers {
    client(members).unwrap_or_else(|problems| panic!("{members}: {problems:?}")).proof
}

#[test]
fn what_is_left_out_proves_and_binds_nothing() {
    let proof = proof(&json!({}));
    assert_eq!(proof, ProofMembers::default());
    assert_eq!(proof.profile, Profile::Strict);
}

#[test]
fn each_problem_is_said_of_its_member() {
    let federated = |subject: &str| json!([{ "issuer": "https://i.example", "subject": subject }]);
    let many: Vec<_> =
        (0..65).map(|n| json!({ "issuer": "https://i.example", "subject": n.to_string() })).collect();
    let twice = [federated("a")[0].clone(), federated("a")[0].clone()];
    let mut leaked = key();
    leaked["d"] = json!("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE");
    let blanks = " ".repeat(MAX_JWKS);
    for (members, problem) in [
        (json!({ "profile": "loose" }), "profile: it must be \"strict\", \"compat\", \"smart\" or \"fapi2\""),
        (json!({ "token_endpoint_auth_signing_alg": "none" }), "token_endpoint_auth_signing_alg: "),
        (json!({ "token_endpoint_auth_signing_alg": ["ES256", "x"] }), "token_endpoint_auth_signing_alg: "),
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "jwks: is missing; the method needs"),
        (
            json!({ "token_endpoint_auth_method": "self_signed_tls_client_auth" }),
            "jwks: is missing; the method needs",
        ),
        (
            json!({ "token_endpoint_auth_method": "tls_client_auth" }),
            "tls_client_auth_subject_dn: is missing; the method needs exactly one of",
        ),
        (
            json!({ "jwks": { "keys": [key()] }, "jwks_uri": "https://a.example" }),
            "jwks_uri: is set beside jwks; keep one of the two",
        ),
        (json!({ "jwks": {} }), "jwks: the key set is not JSON of the form"),
        (json!({ "jwks": { "keys": [] } }), "jwks: holds no key that can verify a signature"),
        (json!({ "jwks": { "keys": [{ "kty": "oct", "k": "AAAA" }] } }), "jwks: holds no key"),
        (json!({ "jwks": { "keys": [leaked] } }), "jwks: key 0 of the set"),
        (
            json!({ "jwks": { "keys": [key()], "blanks": blanks } }),
            "jwks: has more than 32768 bytes; register jwks_uri",
        ),
        (json!({ "jwks_uri": "" }), "jwks_uri: must be 1 to 2048 bytes of printable text"),
        (json!({ "jwks_uri": format!("https://{}", "a".repeat(2048)) }), "jwks_uri: must be 1 to 2048 bytes"),
        // V-33
        (json!({ "jwks_uri": "file:///etc/passwd" }), "jwks_uri: must be an https URL"),
        (json!({ "jwks_uri": "a.example/keys" }), "jwks_uri: must be an https URL"),
        (json!({ "jwks_uri": "https:///keys#x" }), "jwks_uri: must have neither user"),
        (json!({ "jwks_uri": "https://u:p@a.example/" }), "jwks_uri: must have neither user"),
        (
            json!({ "tls_client_auth_subject_dn": "a\u{7}" }),
            "tls_client_auth_subject_dn: must be 1 to 2048 bytes",
        ),
        (
            json!({ "tls_client_auth_subject_dn": "billing" }),
            "tls_client_auth_subject_dn: it must be a distinguished name",
        ),
        // V-20
        (
            json!({ "tls_client_auth_san_dns": "*.example" }),
            "tls_client_auth_san_dns: must be a host name without wildcard",
        ),
        (json!({ "tls_client_auth_san_dns": "a..example" }), "tls_client_auth_san_dns: must be a host name"),
        (json!({ "tls_client_auth_san_uri": "billing" }), "tls_client_auth_san_uri: must be a URI"),
        (
            json!({ "tls_client_auth_san_email": "billing" }),
            "tls_client_auth_san_email: must be a mail address",
        ),
        (
            json!({ "tls_client_auth_san_email": "@a.example" }),
            "tls_client_auth_san_email: must be a mail address",
        ),
        (
            json!({ "tls_client_auth_san_ip": "a.example" }),
            "tls_client_auth_san_ip: must be an IPv4 or IPv6 address",
        ),
        (json!({ "spiffe_id": "" }), "spiffe_id: it must be a SPIFFE ID"),
        (json!({ "spiffe_id": "spiffe://example.org" }), "spiffe_id: it must be a SPIFFE ID"),
        (json!({ "token_endpoint_auth_method": "spiffe_jwt" }), "spiffe_id: is missing"),
        (
            json!({ "token_endpoint_auth_method": "spiffe_x509", "tls_client_auth_san_uri": "urn:billing" }),
            "tls_client_auth_san_uri: it must be a SPIFFE ID",
        ),
        (json!({ "federated": many }), "federated: has 65 subjects; a client has at most 64"),
        (json!({ "federated": twice }), "federated: names \"a\" of \"https://i.example\" twice"),
        (
            json!({ "federated": federated("**") }),
            "federated: lets in every subject of \"https://i.example\"",
        ),
        (json!({ "federated": federated("") }), "federated: must be 1 to 2048 bytes"),
        (json!({ "federated": federated("a\nb") }), "federated: must be 1 to 2048 bytes"),
    ] {
        let problems = client(&members).unwrap_err();
        assert!(problems.iter().any(|found| found.starts_with(problem)), "{members}: {problems:?}");
        assert!(!problems.concat().contains("870MB6"), "{problems:?}");
    }
}

// CHK-113: exactly one
#[test]
fn a_certificate_has_one_subject() {
    let members = [
        ("subject_dn", "CN=billing,O=Example"),
        ("san_dns", "billing.example"),
        ("san_uri", "spiffe://example.org/billing"),
        ("san_ip", "192.0.2.1"),
        ("san_email", "billing@example.com"),
    ];
    for (at, (one, text)) in members.into_iter().enumerate() {
        let one = format!("tls_client_auth_{one}");
        let alone = json!({ "token_endpoint_auth_method": "tls_client_auth", one.as_str(): text });
        assert!(proof(&alone).certificate_subject.is_some(), "{one}");
        for (other, text) in &members[at + 1..] {
            let other = format!("tls_client_auth_{other}");
            let mut both = alone.clone();
            both[&other] = json!(text);
            let problem = format!(
                "{other}: is set beside another tls_client_auth_ member; keep exactly one (RFC 8705 section 2.1.2)"
            );
            assert_eq!(client(&both).unwrap_err(), [problem]);
        }
    }
}

#[test]
fn what_was_registered_can_be_written_back() {
    for members in [
        json!({ "profile": "compat", "token_endpoint_auth_signing_alg": "ES256", "jwks": { "keys": [key()] },
            "token_endpoint_auth_method": "private_key_jwt" }),
        json!({ "jwks_uri": "https://a.example/keys", "dpop_bound_access_tokens": true }),
        json!({ "tls_client_auth_subject_dn": "CN=billing, O=Example" }),
        json!({ "tls_client_auth_san_dns": "billing.example", "tls_client_certificate_bound_access_tokens": true }),
        json!({ "tls_client_auth_san_uri": "urn:billing" }),
        json!({ "tls_client_auth_san_ip": "2001:db8::1" }),
        json!({ "tls_client_auth_san_email": "billing@example.com" }),
        json!({ "spiffe_id": "spiffe://example.org/billing/*" }),
        json!({ "federated": [{ "issuer": "https://i.example", "subject": "a:*" }] }),
    ] {
        let client = client(&members).unwrap();
        let mut written = ClientRegistration::default();
        client.proof.write(&mut written);
        let written = serde_json::to_value(&written).unwrap();
        for (member, value) in members.as_object().unwrap() {
            if member != "token_endpoint_auth_method" {
                assert_eq!(&written[member], value, "{member}");
            }
        }
    }
}

#[test]
fn a_workload_is_named_by_the_first_that_is_there() {
    let id = |mut members: Value| {
        members["token_endpoint_auth_method"] = json!("spiffe_jwt");
        proof(&members).workloads.map(|workloads| workloads.to_string())
    };
    let (one, other) = ("spiffe://example.org/one", "spiffe://example.org/other");
    assert_eq!(id(json!({ "spiffe_id": one, "tls_client_auth_san_uri": other })).as_deref(), Some(one));
    assert_eq!(id(json!({ "tls_client_auth_san_uri": other })).as_deref(), Some(other));
    assert_eq!(id(json!({ "client_id": one })).as_deref(), Some(one));
    // Whoever uses no SPIFFE method is no workload.
    assert_eq!(proof(&json!({ "spiffe_id": one })).workloads, None);
}
