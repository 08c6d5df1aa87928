//! `mintage key new-client`: a private key that stays with a client, and the public key set it is registered with
//! (RFC 7517 §5; RFC 7591 §2 `jwks`).

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use super::output::{Failure, Report};
use crate::{
    jose::{JwsAlgorithm, PrivateKey, jwk::PublishedJwkSet},
    private_file,
};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage key new-client billing.pem > billing.jwks.json\n  mintage key new-client backend.pem --alg RS384 --output json"
)]
pub(super) struct Arguments {
    /// Where the private key goes: PKCS#8 PEM that its owner alone can read. An existing file stays as it is
    #[arg(value_name = "FILE")]
    key_file: PathBuf,
    /// ES256, ES384, EdDSA, or RS or PS with 256, 384 or 512
    #[arg(long, default_value = "ES256")]
    alg: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let alg = algorithm(&arguments.alg)?;
    let no_key = || Failure::failed("no key could be generated; try again");
    let der = PrivateKey::generate_pkcs8(alg).map_err(|_| no_key())?;
    let key = PrivateKey::from_pkcs8(alg, &der).map_err(|_| no_key())?;
    let jwk = key.jwk().ok_or_else(no_key)?.clone();
    create(&arguments.key_file, &pem(der.expose()))?;
    let kid = jwk.kid().to_owned();
    let jwks = json!(PublishedJwkSet { keys: vec![jwk] });
    let json = json!({ "key_file": arguments.key_file, "alg": alg.as_str(), "kid": kid, "jwks": jwks });
    Ok(Report { text: format!("{jwks}\n"), json: json.to_string() })
}

/// What a client can sign with.
pub(super) fn algorithm(text: &str) -> Result<JwsAlgorithm, Failure> {
    text.parse().ok().filter(|alg: &JwsAlgorithm| !alg.is_symmetric()).ok_or_else(|| {
        Failure::misused("--alg must be ES256, ES384, EdDSA, RS256, RS384, RS512, PS256, PS384 or PS512")
    })
}

fn create(path: &Path, pem: &Zeroizing<String>) -> Result<(), Failure> {
    let exists = || Failure::failed(format!("{} exists already; name another file", path.display()));
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let there = private_file::publish(path, pem.as_bytes())
        .map_err(|problem| Failure::failed(format!("{} {problem}; name another file", path.display())))?;
    // Somebody else's, published in the same moment.
    if there.as_slice() == pem.as_bytes() { Ok(()) } else { Err(exists()) }
}

/// RFC 7468 §10
fn pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_a_pair() {
        let directory = tempfile::tempdir().unwrap();
        for alg in JwsAlgorithm::ALL.iter().filter(|alg| !alg.is_symmetric()) {
            let key_file = directory.path().join(alg.as_str());
            let arguments = Arguments { key_file: key_file.clone(), alg: alg.to_string() };
            let report = run(&arguments).unwrap();
            let text = std::fs::read(&key_file).unwrap();
            assert_eq!(key_file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let jwks: serde_json::Value = serde_json::from_str(&report.text).unwrap();
            let key = PrivateKey::from_pem(*alg, &text).unwrap();
            let jwk = &jwks["keys"][0];
            assert_eq!(
                (&jwk["kid"], &jwk["use"], &jwk["alg"]),
                (&key.kid().into(), &"sig".into(), &alg.as_str().into())
            );
            assert!(jwk.get("d").is_none() && jwk.get("p").is_none());
            let json: serde_json::Value = serde_json::from_str(&report.json).unwrap();
            assert_eq!((&json["jwks"], &json["kid"]), (&jwks, &key.kid().into()));

            // Neither a key nor anything else is overwritten.
            run(&arguments).unwrap_err();
            assert_eq!(std::fs::read(&key_file).unwrap(), text);
        }
        for alg in ["HS256", "none", "es256", ""] {
            let key_file = directory.path().join("refused");
            run(&Arguments { key_file: key_file.clone(), alg: alg.to_owned() }).unwrap_err();
            assert!(!key_file.exists());
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
        run(&Arguments { key_file: link, alg: "ES256".to_owned() }).unwrap_err();
        assert!(!directory.path().join("elsewhere").exists());
    }
}
