//! The settings about proving the caller and binding the token, checked.

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use super::{
    check::{Checker, boolean, in_words, number, seconds},
    duration,
    proof::{ClientAuth, ClientCertHeader, Dpop, JwksFetch, Proxy, Replay, Tls},
};

const DPOP_MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
const FETCH_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
const FETCH_BYTES: RangeInclusive<usize> = 1024..=4 * 1024 * 1024;

impl Checker<'_> {
    /// TLS, and the authorities of client certificates, which a proxy's word about them needs as well.
    pub(super) fn tls(&mut self, proxy: Option<&Proxy>) -> (Option<Tls>, Option<PathBuf>) {
        let path = |text: &str| Ok(Some(PathBuf::from(text)));
        let cert_file = self.value("tls.cert_file", path, None);
        let key_file = self.value("tls.key_file", path, None);
        let client_ca_file = self.value("tls.client_ca_file", path, None);
        let client_auth = self.value("tls.client_auth", client_auth, ClientAuth::Off);
        let tls = match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => Some(Tls { cert_file, key_file, client_auth }),
            (Some(_), None) => {
                self.report("tls.cert_file", "needs its private key beside it; set tls.key_file");
                None
            }
            (None, Some(_)) => {
                self.report("tls.key_file", "needs its certificate beside it; set tls.cert_file");
                None
            }
            (None, None) => {
                if client_ca_file.is_some() && proxy.is_none_or(|proxy| proxy.client_cert_header.is_none()) {
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
        if client_cert_header.is_some() && self.raw.get("proxy.trusted").is_none() {
            self.report(
                "proxy.client_cert_header",
                "is believed from nobody; set proxy.trusted to the proxies' networks",
            );
        }
        (!trusted.is_empty()).then_some(Proxy { trusted, client_cert_header })
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

/// The items of a list.
fn texts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let host = || text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from);
    let network = text.parse::<ipnet::IpNet>().or_else(|_| host());
    network.map_err(|_| format!("{text:?} must be a network such as 10.0.0.0/8, or an address"))
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
