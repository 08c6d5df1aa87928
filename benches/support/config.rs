//! The configuration of a server under test.

use std::fmt::Write as _;

use mintage::jose::PrivateKey;

use super::Result;

/// The secret of every client.
pub const SECRET: &str = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// What tokens are signed with, and the names of the clients that get such tokens.
pub const ALGORITHMS: [&str; 4] = ["HS256", "ES256", "EdDSA", "RS256"];

const CLAIMS: &str = r#"claims = { name = "Load", email = "load@example.com", fhirUser = "Practitioner/1" }"#;

/// An SQLite file, errors alone in the log, and a client for each of [`ALGORITHMS`].
pub fn base() -> String {
    let mut config = "issuer = \"http://127.0.0.1\"\njwt_secret = \"0123456789abcdef0123456789abcdef\"\n\
                      database_url = \"sqlite://mintage.db\"\nlog = \"error\"\n"
        .to_owned();
    for alg in ALGORITHMS {
        config += &client(alg, alg);
    }
    config
}

/// A client with [`SECRET`] whose tokens are signed with `alg`.
pub fn client(client_id: &str, alg: &str) -> String {
    format!("{}client_secret = \"{SECRET}\"\naccess_token_signing_alg = \"{alg}\"\n", table(client_id))
}

/// A client that authenticates with assertions under this key and gets ES256 tokens.
pub fn client_with_key(client_id: &str, key: &PrivateKey) -> Result<String> {
    let jwk = serde_json::to_value(key.jwk())?;
    let mut members = String::new();
    for (name, value) in jwk.as_object().into_iter().flatten() {
        write!(members, "{name} = {value}, ")?;
    }
    let members = members.trim_end_matches(", ");
    Ok(format!(
        "{}access_token_signing_alg = \"ES256\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
         jwks = {{ keys = [{{ {members} }}] }}\n",
        table(client_id)
    ))
}

fn table(client_id: &str) -> String {
    format!("[[clients]]\nclient_id = \"{client_id}\"\nscope = \"read write\"\n{CLAIMS}\n")
}
