//! `mintage token get`: a token by any method that a client can have, so that people can try the methods and script them.
//!
//! - [`credentials`]: what the client proves itself with, read from files, the environment or standard input
//! - [`endpoint`]: where the token endpoint is, and whose it is (RFC 8414)
//! - [`proof`]: the signed statements: client assertions (RFC 7523) and DPoP proofs (RFC 9449)
//! - [`exchange`]: the request itself, and what comes back

mod credentials;
mod endpoint;
mod exchange;
mod proof;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::value::RawValue;

use self::{credentials::Credentials, endpoint::Endpoint, exchange::Exchange};
use super::{
    output::{Failure, Report},
    store::in_runtime,
};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  MINTAGE_CLIENT_SECRET=m2m-secret mintage token get --url http://localhost:8000 --client-id m2m-client
  mintage token get --url https://id.example --client-id billing --key billing.pem --scope read
  mintage token get --url https://id.example --client-id billing --cert billing.crt --key billing.pem --ca ca.pem
  mintage token get --url https://id.example --client-id billing --assertion-file /var/run/secrets/tokens/id
  mintage token get --url https://id.example --client-id billing --key billing.pem --dpop-key dpop.pem --output json")]
pub(super) struct Arguments {
    /// The issuer, whose metadata name the token endpoint; or the token endpoint itself
    #[arg(long, value_name = "URL")]
    url: String,
    /// Who asks
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// How the client proves itself [default: by what is given: tls with --cert, private_key_jwt with --key, assertion with
    /// --assertion-file, else client_secret_basic]
    #[arg(long, value_enum)]
    auth: Option<Method>,
    /// File with the secret, - for standard input [environment: MINTAGE_CLIENT_SECRET holds the secret itself]
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<PathBuf>,
    /// Private key in PEM: for private_key_jwt, or of --cert
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Algorithm of the assertion [default: what fits the key: ES256, ES384, EdDSA or RS256; HS256 with a secret]
    #[arg(long)]
    alg: Option<String>,
    /// Name of the key at the server [default: its RFC 7638 thumbprint]
    #[arg(long)]
    kid: Option<String>,
    /// Certificate in PEM, its chain behind it, to present in the TLS handshake
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Private key of --cert, when --key is another one
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<PathBuf>,
    /// Certificates of the authorities to trust, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A token of somebody else that proves who asks: a JWT-SVID or a service-account token; - for standard input
    #[arg(long, value_name = "FILE")]
    assertion_file: Option<PathBuf>,
    /// What --assertion-file is
    #[arg(long, value_enum, default_value_t = AssertionType::JwtBearer)]
    assertion_type: AssertionType,
    /// aud of the assertion that is made [default: the issuer that the metadata name]
    #[arg(long, value_name = "AUD")]
    assertion_audience: Option<String>,
    /// What is asked by; jwt-bearer exchanges --assertion-file for the token
    #[arg(long, value_enum, default_value_t = Grant::ClientCredentials)]
    grant: Grant,
    /// Private key in PEM to bind the token to (DPoP)
    #[arg(long, value_name = "FILE")]
    dpop_key: Option<PathBuf>,
    /// Scopes, a space between two
    #[arg(long)]
    scope: Option<String>,
    /// What the token is for, a URI; may be repeated
    #[arg(long, value_name = "URI")]
    resource: Vec<String>,
    /// The same by another name that the server knows; may be repeated
    #[arg(long)]
    audience: Vec<String>,
    /// Speak plain HTTP to a host that is not this one
    #[arg(long)]
    allow_plain_http: bool,
}

/// `--auth`: the names of RFC 7591 §2 and RFC 8705 §2, and short ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Method {
    /// Secret in the Authorization header
    #[value(alias = "basic")]
    ClientSecretBasic,
    /// Secret in the form
    #[value(alias = "post")]
    ClientSecretPost,
    /// Assertion signed with the secret
    ClientSecretJwt,
    /// Assertion signed with --key
    PrivateKeyJwt,
    /// The certificate alone
    #[value(aliases = ["tls_client_auth", "self_signed_tls_client_auth", "spiffe_x509"])]
    Tls,
    /// The token of --assertion-file
    #[value(alias = "spiffe_jwt")]
    Assertion,
    /// Not at all
    None,
}

/// `--assertion-type`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AssertionType {
    /// RFC 7523 §2.2
    JwtBearer,
    /// A JWT-SVID (OAuth SPIFFE client authentication)
    JwtSpiffe,
}

/// `--grant`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Grant {
    /// RFC 6749 §4.4
    ClientCredentials,
    /// RFC 7523 §2.1
    JwtBearer,
}

pub(super) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    // Before anything is sent: what is wrong with the arguments or the files is said without a server.
    let credentials = Credentials::read(arguments)?;
    in_runtime(async {
        let http = credentials.http_client()?;
        let endpoint =
            Endpoint::find(&http, &arguments.url, arguments, credentials.presents_certificate()).await?;
        let response = Exchange { http: &http, endpoint: &endpoint, arguments, credentials: &credentials };
        report(&response.run().await?)
    })
}

/// The token alone, so that `$(mintage token get ...)` is one; as JSON the whole answer as it came.
fn report(body: &[u8]) -> Result<Report, Failure> {
    #[derive(serde::Deserialize)]
    struct Answer {
        access_token: String,
    }
    let unusable =
        || Failure::failed("the answer has no access_token; correct --url to name an OAuth token endpoint");
    let answer: Answer = serde_json::from_slice(body).map_err(|_| unusable())?;
    let json: Box<RawValue> = serde_json::from_slice(body).map_err(|_| unusable())?;
    // RFC 6750 §2.1: anything else could steer whatever prints it.
    if answer.access_token.is_empty() || !answer.access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable());
    }
    Ok(Report { text: answer.access_token + "\n", json: json.get().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_alone_or_the_answer_as_it_came() {
        let body = br#"{"access_token":"a.b.c" , "expires_in":3600.0}"#;
        let expected = Report { text: "a.b.c\n".to_owned(), json: String::from_utf8(body.to_vec()).unwrap() };
        assert_eq!(report(body), Ok(expected));
        for body in [
            &b"{}"[..],
            b"",
            b"[]",
            br#"{"access_token":""}"#,
            br#"{"access_token":"a\u001b[31m"}"#,
            b"<html>",
        ] {
            assert!(report(body).is_err());
        }
    }
}
