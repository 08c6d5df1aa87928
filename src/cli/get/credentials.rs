//! What the client proves itself with: read whole and checked before anything is sent. None of it is ever an argument.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use super::{Arguments, AssertionType, Grant, Method};
use crate::{
    cli::{http, new_client, output::Failure},
    config::sources::CLIENT_SECRET_VARIABLE,
    jose::{JwsAlgorithm, PrivateKey},
    secret::Secret,
};

/// The longest file that is read, in bytes: a certificate chain or a large assertion fits.
const MAX_LENGTH: u64 = 256 * 1024;

/// How long a request may take altogether.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that was given.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) client_id: Option<String>,
    pub(super) proof: Proof,
    /// The assertion of the jwt-bearer grant.
    pub(super) grant_assertion: Option<Secret<String>>,
    pub(super) dpop_key: Option<PrivateKey>,
    /// PEM of certificate and key for the handshake.
    identity: Option<Secret<Vec<u8>>>,
    ca: Option<Vec<u8>>,
}

/// How the client proves itself within the request.
#[derive(Debug)]
pub(super) enum Proof {
    Basic(Secret<String>),
    Post(Secret<String>),
    /// An assertion that is made for each request.
    Signed {
        key: Box<PrivateKey>,
        kid: Option<String>,
    },
    /// One that somebody else made.
    Given {
        assertion: Secret<String>,
        kind: AssertionType,
    },
    /// By the handshake, or not at all.
    Nothing,
}

impl Credentials {
    /// Reads what the arguments name.
    ///
    /// # Errors
    /// Misuse when something is missing or too much; failure when a file cannot be read or is not what it must be.
    pub(super) fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let method = method(arguments);
        let needs_id = !matches!(method, Method::Assertion | Method::None);
        if needs_id && arguments.client_id.as_deref().is_none_or(str::is_empty) {
            return Err(Failure::misused("--client-id is missing; name the client"));
        }
        let assertion_grant = arguments.grant == Grant::JwtBearer;
        if assertion_grant && (arguments.assertion_file.is_none() || method == Method::Assertion) {
            return Err(Failure::misused(
                "--grant jwt-bearer exchanges the token of --assertion-file; name that file, and another --auth for the client",
            ));
        }
        let assertion =
            || {
                let file = arguments.assertion_file.as_deref();
                text(file.ok_or_else(|| {
                    Failure::misused("--assertion-file is missing; name the token to present")
                })?)
            };
        Ok(Self {
            client_id: arguments.client_id.clone(),
            proof: proof(method, arguments, assertion)?,
            grant_assertion: assertion_grant.then(assertion).transpose()?,
            dpop_key: arguments.dpop_key.as_deref().map(|file| key(file, None)).transpose()?,
            identity: identity(method, arguments)?,
            ca: arguments.ca.as_deref().map(bytes).transpose()?.map(|pem| pem.expose().clone()),
        })
    }

    pub(super) fn presents_certificate(&self) -> bool {
        self.identity.is_some()
    }

    /// A client that presents the certificate and trusts the authorities that were given.
    ///
    /// # Errors
    /// When they are not what they must be.
    pub(super) fn http_client(&self) -> Result<reqwest::Client, Failure> {
        let mut client = http::client(TIMEOUT);
        if let Some(identity) = &self.identity {
            let unusable = |_| {
                Failure::failed("--cert and its key are no PEM certificate and private key; correct them")
            };
            client = client.identity(reqwest::Identity::from_pem(identity.expose()).map_err(unusable)?);
        }
        if let Some(ca) = &self.ca {
            let certificates =
                reqwest::Certificate::from_pem_bundle(ca).ok().filter(|found| !found.is_empty());
            let unusable =
                || Failure::failed("--ca holds no PEM certificate; name the file of the authorities");
            client = client.tls_certs_only(certificates.ok_or_else(unusable)?);
        }
        client.build().map_err(|error| {
            let cause = http::innermost(&error);
            Failure::failed(format!("TLS cannot be set up ({cause}); correct --cert, --key or --ca"))
        })
    }
}

/// `--auth`, or what is given tells.
fn method(arguments: &Arguments) -> Method {
    let has_secret =
        arguments.client_secret_file.is_some() || std::env::var_os(CLIENT_SECRET_VARIABLE).is_some();
    arguments.auth.unwrap_or(if arguments.assertion_file.is_some() && arguments.grant != Grant::JwtBearer {
        Method::Assertion
    } else if arguments.cert.is_some() {
        Method::Tls
    } else if arguments.key.is_some() {
        Method::PrivateKeyJwt
    } else if has_secret || arguments.grant != Grant::JwtBearer {
        Method::ClientSecretBasic
    } else {
        Method::None
    })
}

fn proof(
    method: Method,
    arguments: &Arguments,
    assertion: impl Fn() -> Result<Secret<String>, Failure>,
) -> Result<Proof, Failure> {
    Ok(match method {
        Method::ClientSecretBasic => Proof::Basic(secret(arguments)?),
        Method::ClientSecretPost => Proof::Post(secret(arguments)?),
        Method::ClientSecretJwt => {
            let alg = match arguments.alg.as_deref().unwrap_or("HS256").parse() {
                Ok(alg @ (JwsAlgorithm::HS256 | JwsAlgorithm::HS384 | JwsAlgorithm::HS512)) => alg,
                _ => {
                    return Err(Failure::misused(
                        "--alg must be HS256, HS384 or HS512 for client_secret_jwt",
                    ));
                }
            };
            let key = PrivateKey::from_shared_secret(alg, secret(arguments)?.expose().as_bytes());
            let too_short =
                |_| Failure::failed(format!("the secret is too short for {alg}; have a longer one made"));
            // The server finds it by the client, and a thumbprint would tell something of it.
            Proof::Signed { key: Box::new(key.map_err(too_short)?), kid: arguments.kid.clone() }
        }
        Method::PrivateKeyJwt => {
            let file = arguments.key.as_deref();
            let file =
                file.ok_or_else(|| Failure::misused("--key is missing; name the private key of the client"))?;
            let alg = arguments.alg.as_deref().map(new_client::algorithm).transpose()?;
            let key = Box::new(key(file, alg)?);
            let kid = arguments.kid.clone().or_else(|| Some(key.kid().to_owned()));
            Proof::Signed { key, kid }
        }
        Method::Assertion => Proof::Given { assertion: assertion()?, kind: arguments.assertion_type },
        Method::Tls if arguments.cert.is_none() => {
            return Err(Failure::misused("--cert is missing; name the certificate of the client"));
        }
        Method::Tls | Method::None => Proof::Nothing,
    })
}

/// A certificate may also accompany another method, to bind the token to it.
fn identity(method: Method, arguments: &Arguments) -> Result<Option<Secret<Vec<u8>>>, Failure> {
    let Some(cert) = arguments.cert.as_deref() else { return Ok(None) };
    let key = arguments.cert_key.as_deref().or(arguments.key.as_deref().filter(|_| method == Method::Tls));
    let mut pem = bytes(cert)?.expose().clone();
    if let Some(key) = key {
        pem.push(b'\n');
        pem.extend_from_slice(bytes(key)?.expose());
    }
    Ok(Some(Secret::new(pem)))
}

fn secret(arguments: &Arguments) -> Result<Secret<String>, Failure> {
    let secret = match (&arguments.client_secret_file, std::env::var(CLIENT_SECRET_VARIABLE)) {
        (Some(file), _) => text(file)?,
        (None, Ok(secret)) => Secret::new(secret),
        (None, Err(_)) => Secret::from(""),
    };
    if secret.expose().is_empty() {
        return Err(Failure::misused(format!(
            "the secret is missing; set {CLIENT_SECRET_VARIABLE}, or name its file with --client-secret-file"
        )));
    }
    Ok(secret)
}

/// A private key for an algorithm, or for the one that its type suggests.
fn key(file: &Path, alg: Option<JwsAlgorithm>) -> Result<PrivateKey, Failure> {
    use JwsAlgorithm::{ES256, ES384, EdDSA, RS256};
    let pem = bytes(file)?;
    let suggested = [ES256, ES384, EdDSA, RS256];
    let tried = alg.as_ref().map_or(&suggested[..], std::slice::from_ref);
    let key = tried.iter().find_map(|alg| PrivateKey::from_pem(*alg, pem.expose()).ok());
    let fits = alg.map_or("EC, Ed25519 or RSA".to_owned(), |alg| alg.to_string());
    key.ok_or_else(|| {
        Failure::failed(format!(
            "{} holds no private key for {fits} in PEM without a password; `mintage key new-client` makes one",
            file.display()
        ))
    })
}

/// The text of a file, or of standard input for `-`, without the line ends around it.
fn text(file: &Path) -> Result<Secret<String>, Failure> {
    let bytes = bytes(file)?;
    let text = std::str::from_utf8(bytes.expose()).map(str::trim).unwrap_or_default();
    if text.is_empty() {
        return Err(Failure::failed(format!(
            "{} is empty or no text; put what is needed into it",
            name(file)
        )));
    }
    Ok(Secret::from(text))
}

fn bytes(file: &Path) -> Result<Secret<Vec<u8>>, Failure> {
    let unreadable =
        |problem: String| Failure::failed(format!("{} {problem}; name another file", name(file)));
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().take(MAX_LENGTH + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(MAX_LENGTH + 1).read_to_end(&mut bytes))
    };
    let bytes = Secret::new(bytes);
    match read {
        Err(error) => Err(unreadable(format!("cannot be read ({error})"))),
        Ok(length) if length as u64 > MAX_LENGTH => Err(unreadable("is larger than 256 KiB".to_owned())),
        Ok(_) => Ok(bytes),
    }
}

fn name(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}
