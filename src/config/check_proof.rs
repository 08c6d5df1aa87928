//! The settings about proving the caller and binding the token, checked.

use std::{ops::RangeInclusive, time::Duration};

use url::Url;

use super::{
    check::{Checker, boolean, in_words, number, seconds},
    duration,
    problem::{NamedFile, Origin},
    proof::{
        Certificate, ClientAuth, ClientCertHeader, Dpop, JwksFetch, KeysAt, Proxy, Replay, Tls, TrustDomain,
        TrustedIssuer,
    },
    proof_tables::Located,
};
use crate::oauth::issuer::Issuer;

const DPOP_MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
const FETCH_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
const FETCH_BYTES: RangeInclusive<usize> = 1024..=4 * 1024 * 1024;

impl Checker<'_> {
    /// TLS, and the authorities of client certificates, which a proxy's word about certificates needs as well.
    pub(super) fn tls(&mut self, made: bool, proxy: Option<&Proxy>) -> (Option<Tls>, Option<NamedFile>) {
        let (cert_file, key_file) = (self.file("tls.cert_file"), self.file("tls.key_file"));
        let client_ca_file = self.file("tls.client_ca_file");
        let client_auth = self.value("tls.client_auth", client_auth, ClientAuth::Off);
        if made {
            if cert_file.is_some() || key_file.is_some() {
                let key = if cert_file.is_some() { "tls.cert_file" } else { "tls.key_file" };
                self.report(key, "--tls makes a certificate of its own; leave out one of the two");
            }
            return (Some(Tls { certificate: Certificate::Made, client_auth }), client_ca_file);
        }
        let tls = match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => {
                let certificate = Certificate::Files { cert_file, key_file };
                Some(Tls { certificate, client_auth })
            }
            (Some(_), None) => {
                self.report("tls.cert_file", "needs its private key beside it; set tls.key_file");
                None
            }
            (None, Some(_)) => {
                self.report("tls.key_file", "needs its certificate beside it; set tls.cert_file");
                None
            }
            (None, None) => {
                let vouched_for = proxy.is_some_and(|proxy| proxy.client_cert_header.is_some());
                if client_ca_file.is_some() && !vouched_for {
                    self.report(
                        "tls.client_ca_file",
                        "means nothing without client certificates; set tls.cert_file and tls.key_file, or \
                         proxy.client_cert_header",
                    );
                }
                if client_auth != ClientAuth::Off {
                    self.report(
                        "tls.client_auth",
                        "means nothing without TLS; set tls.cert_file and tls.key_file",
                    );
                }
                None
            }
        };
        (tls, client_ca_file)
    }

    pub(super) fn proxy(&mut self) -> Option<Proxy> {
        let trusted = self.value("proxy.trusted", |text| texts(text).map(network).collect(), Vec::new());
        let client_cert_header =
            self.value("proxy.client_cert_header", |text| client_cert_header(text).map(Some), None);
        let names_nobody =
            self.raw.get("proxy.trusted").is_none_or(|given| texts(given.text.expose()).next().is_none());
        if client_cert_header.is_some() && names_nobody {
            self.report(
                "proxy.client_cert_header",
                "is believed from nobody; set proxy.trusted to the proxies' networks",
            );
        }
        (!trusted.is_empty()).then_some(Proxy { trusted, client_cert_header })
    }

    /// What the tables say, where they may: this server's own tokens are never an assertion (V-15), and keys come over TLS
    /// unless the operator said otherwise.
    pub(super) fn tables(
        &mut self,
        issuer: Option<&Issuer>,
        fetch: &JwksFetch,
    ) -> (Vec<TrustDomain>, Vec<TrustedIssuer>) {
        let raw = self.raw;
        for Located { value, name } in &raw.trust_domains {
            if let Some(KeysAt::Uri(uri)) = &value.jwt_bundle {
                self.url_of_keys(uri, fetch, &value.origin, format!("{name}.jwt_bundle_uri"));
            }
        }
        for Located { value, name } in &raw.trusted_issuers {
            let origin = &value.origin;
            match &value.keys {
                KeysAt::Uri(uri) => self.url_of_keys(uri, fetch, origin, format!("{name}.jwks_uri")),
                KeysAt::Discovery => {
                    self.url_of_keys(&value.issuer, fetch, origin, format!("{name}.issuer"));
                }
                KeysAt::File(_) => {}
            }
            if issuer.is_some_and(|own| own.as_str() == value.issuer) {
                let text = "is this server's own issuer identifier; its own tokens prove no client";
                self.report_at(origin, format!("{name}.issuer"), text);
            }
        }
        (
            raw.trust_domains.iter().map(|domain| domain.value.clone()).collect(),
            raw.trusted_issuers.iter().map(|issuer| issuer.value.clone()).collect(),
        )
    }

    fn url_of_keys(&mut self, url: &str, fetch: &JwksFetch, origin: &Origin, name: String) {
        if let Err(text) = check_jwks_uri(url, fetch) {
            self.report_at(origin, name, text);
        }
    }

    pub(super) fn replay(&mut self) -> Replay {
        let parse = |text: &str| match text {
            "strict" => Ok(Replay::Strict),
            "local" => Ok(Replay::Local),
            _ => Err("must be strict or local".to_owned()),
        };
        self.value("replay", parse, Replay::Strict)
    }

    pub(super) fn dpop(&mut self) -> Dpop {
        let required = |text: &str| match text {
            "off" => Ok(false),
            "required" => Ok(true),
            _ => Err("must be off or required".to_owned()),
        };
        Dpop {
            nonce_required: self.value("dpop.nonce", required, false),
            max_age: self.value("dpop.max_age", |text| seconds(text, &DPOP_MAX_AGE), *DPOP_MAX_AGE.start()),
        }
    }

    pub(super) fn jwks_fetch(&mut self) -> JwksFetch {
        let timeout = |text: &str| {
            let value = in_words(duration::parse(text))?;
            let (shortest, longest) =
                (duration::format(*FETCH_TIMEOUT.start()), duration::format(*FETCH_TIMEOUT.end()));
            if FETCH_TIMEOUT.contains(&value) {
                Ok(value)
            } else {
                Err(format!("must be {shortest} to {longest}"))
            }
        };
        JwksFetch {
            allow_hosts: self.value(
                "jwks_fetch.allow_hosts",
                |text| texts(text).map(host).collect(),
                Vec::new(),
            ),
            allow_private: self.value("jwks_fetch.allow_private", boolean, false),
            allow_http: self.value("jwks_fetch.allow_http", boolean, false),
            timeout: self.value("jwks_fetch.timeout", timeout, *FETCH_TIMEOUT.start()),
            max_bytes: self.value(
                "jwks_fetch.max_bytes",
                |text| number(text, FETCH_BYTES),
                *FETCH_BYTES.start(),
            ),
        }
    }
}

/// Whether keys may be fetched from this URL, as far as its text tells.
pub(super) fn check_jwks_uri(url: &str, fetch: &JwksFetch) -> Result<(), String> {
    let read = Url::parse(url).map_err(|error| format!("is no URL ({error}); write an https URL"))?;
    match read.scheme() {
        "https" => Ok(()),
        "http" if fetch.allow_http => Ok(()),
        _ => Err("must be an https URL; jwks_fetch.allow_http = true allows http too".to_owned()),
    }
}

/// The items of a list.
fn texts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let host = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
    let network = text.parse::<ipnet::IpNet>().or_else(|_| host());
    let network =
        network.map_err(|_| format!("{text:?} must be a network such as 10.0.0.0/8, or an address"))?;
    // V-21
    if network.prefix_len() == 0 {
        return Err(format!("{text:?} would believe everybody; name the networks of the proxies alone"));
    }
    Ok(network)
}

fn host(text: &str) -> Result<String, String> {
    let sound = !text.contains(['/', '@', '?', '#', ' ', '*']);
    if sound {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!("{text:?} must be a host or host:port, without scheme or path"))
    }
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    match text {
        "off" => Ok(ClientAuth::Off),
        "optional" => Ok(ClientAuth::Optional),
        "required" => Ok(ClientAuth::Required),
        _ => Err("must be off, optional or required".to_owned()),
    }
}

fn client_cert_header(text: &str) -> Result<ClientCertHeader, String> {
    match text.to_ascii_lowercase().as_str() {
        "x-forwarded-client-cert" => Ok(ClientCertHeader::XForwardedClientCert),
        "client-cert" => Ok(ClientCertHeader::ClientCert),
        _ => Err("must be x-forwarded-client-cert or client-cert".to_owned()),
    }
}
