//! `mintage token`: `decode`, which shows what a token says, believed or not; and where the token of `decode` and `verify` comes
//! from.

use std::io::{self, Read};

use clap::Subcommand;

use super::{
    get, json_text,
    output::{Failure, Report},
    verify,
};
use crate::{
    jose::{base64url_decode, json::Members, jws},
    secret::Secret,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print header and claims of a token without verifying it
    #[command(after_help = "Example:\n  mintage token decode - < token.txt")]
    Decode {
        /// The token; - reads it from standard input, which keeps it out of the list of processes
        #[arg(value_parser = token_argument, default_value = "-", hide_default_value = true)]
        token: Secret<String>,
    },
    /// Verify a token against a key set
    #[command(
        after_help = "Example:\n  mintage token verify - --jwks https://id.example/.well-known/jwks.json < token.txt"
    )]
    Verify(verify::Arguments),
    /// Get a token from a server, by any method a client can have
    Get(Box<get::Arguments>),
}

pub(super) fn run(command: Command) -> Result<Report, Failure> {
    match command {
        Command::Decode { token } => decode(&read(token)?),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Get(arguments) => get::run(&arguments),
    }
}

/// A token on the command line, which must then be in no debug output.
pub(super) fn token_argument(argument: &str) -> Result<Secret<String>, std::convert::Infallible> {
    Ok(Secret::from(argument))
}

/// The token itself: the argument, or standard input for `-`.
pub(super) fn read(argument: Secret<String>) -> Result<Secret<String>, Failure> {
    if argument.expose() != "-" {
        return Ok(argument);
    }
    let mut text = String::new();
    // A byte more than a token can have shows that it is too long; its newline comes on top.
    let limit = jws::MAX_LENGTH as u64 + 3;
    io::stdin().take(limit).read_to_string(&mut text).map_err(|error| {
        Failure::failed(format!("standard input cannot be read ({error}); pipe a token into it"))
    })?;
    let text = Secret::new(text);
    Ok(Secret::from(text.expose().trim()))
}

fn decode(token: &Secret<String>) -> Result<Report, Failure> {
    let (header, claims) = parts(token.expose())?;
    let text = format!(
        "The signature was not checked; `mintage token verify` does that.\nheader {}\nclaims {}\n",
        json_text::pretty(&header),
        json_text::pretty(&claims)
    );
    Ok(Report { text, json: format!("{{\"verified\":false,\"header\":{header},\"claims\":{claims}}}") })
}

/// Header and payload as JSON. More lenient than verification, since looking at a refused token is what this is for; but
/// what is not unambiguous JSON cannot be shown.
fn parts(token: &str) -> Result<(String, String), Failure> {
    if token.len() > jws::MAX_LENGTH {
        return Err(Failure::failed(format!(
            "the token is longer than {} bytes; pass one JWT",
            jws::MAX_LENGTH
        )));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Failure::failed(
            "the token does not have the three parts of a signed JWT; pass header.claims.signature",
        ));
    };
    Ok((object(header, "header")?, object(claims, "claims part")?))
}

fn object(part: &str, name: &str) -> Result<String, Failure> {
    let json = base64url_decode(part).filter(|bytes| Members::parse(bytes).is_ok());
    json.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| {
        Failure::failed(format!(
            "the {name} of the token is not base64url of a JSON object; pass the token unchanged"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::base64url;

    fn token(header: &str, claims: &str) -> Secret<String> {
        Secret::new(format!("{}.{}.c2ln", base64url(header), base64url(claims)))
    }

    #[test]
    fn header_and_claims_are_shown_as_they_are() {
        let report = decode(&token(r#"{"alg":"none","crit":["x"]}"#, r#"{"n":1.10}"#)).unwrap();
        assert_eq!(
            report.json,
            r#"{"verified":false,"header":{"alg":"none","crit":["x"]},"claims":{"n":1.10}}"#
        );
        assert!(report.text.starts_with("The signature was not checked"));
        assert!(report.text.contains("claims {\n  \"n\": 1.10\n}\n"));
    }

    #[test]
    fn what_is_no_jwt_is_refused_without_repeating_it() {
        for text in [
            "canary",
            "canary.e30",
            "canary.e30.x",
            "e30.canary.x",
            "e30.e30.x.canary",
            &"canary.".repeat(10_000),
        ] {
            let failure = decode(&Secret::from(text)).unwrap_err();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}"); // V-71
        }
        assert!(decode(&token("{}", r#"{"a":1,"a":2}"#)).is_err()); // CHK-73
    }
}
