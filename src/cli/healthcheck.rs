//! `mintage healthcheck`: one HTTP/1.1 request to `/healthz`, for container runtimes.
//!
//! Written over a socket of the standard library: a health check runs every few seconds in images that may have no
//! certificates, and must not load what it does not need.
//!
//! Over TLS the server's certificate is not verified. It is this host's own server that is asked, nothing secret is told to
//! it, and all that somebody in its place could do is to call it healthy. A certificate of another name, one that was just
//! replaced on disk or one that expired would otherwise turn a server that serves into one that is restarted.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::json;

use super::{
    output::{Failure, Report},
    serve,
};
use crate::config::{self, Reach};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage healthcheck\n  mintage healthcheck --url http://127.0.0.1:8000/healthz"
)]
pub(super) struct Arguments {
    /// Where to ask [default: /healthz at the configured listen address]
    #[arg(long, conflicts_with = "config")]
    url: Option<String>,
    /// TOML file the server was started with [environment: MINTAGE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How long connecting, asking and each read of the answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let target = match &arguments.url {
        Some(url) => Target::from_url(url)?,
        None => Target::from_config(arguments)?,
    };
    let scheme = if target.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}:{}{}", target.host, target.port, target.path);
    match ask(&target) {
        Ok(200) => Ok(Report {
            text: format!("ok: {url} is healthy\n"),
            json: json!({ "ok": true, "url": url }).to_string(),
        }),
        Ok(status) => {
            Err(Failure::failed(format!("{url} answered {status}, not 200; look at the log of the server")))
        }
        Err(error) => Err(Failure::failed(format!(
            "{url} does not answer ({error}); start the server or correct --url"
        ))),
    }
}

/// What to connect to and what to ask for.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    tls: bool,
    /// An IPv6 address in brackets.
    host: String,
    port: u16,
    path: String,
}

impl Target {
    fn from_url(url: &str) -> Result<Self, Failure> {
        let misused = || {
            Failure::misused(
                "--url must be a plain URL such as http://127.0.0.1:8000/healthz, with https on this host only",
            )
        };
        let uri: http::Uri = url.parse().map_err(|_| misused())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(misused());
        };
        let (tls, port) = match scheme {
            "http" => (false, 80),
            "https" if is_this_host(authority.host()) => (true, 443),
            _ => return Err(misused()),
        };
        Ok(Self {
            tls,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(port),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    fn from_config(arguments: &Arguments) -> Result<Self, Failure> {
        let arguments = serve::Arguments { config: arguments.config.clone(), ..serve::Arguments::default() };
        let reach = config::reach(&arguments.into_sources()?)
            .map_err(|problem| Failure::failed(problem.to_string()))?;
        Ok(Self::of(reach))
    }

    /// The public port, or the metrics port of the same server when the public one wants a certificate.
    fn of(reach: Reach) -> Self {
        let tls = reach.tls && !reach.certificate_required;
        let listen = if reach.tls == tls { reach.listen } else { reach.ops_listen };
        let address = reachable(listen);
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { tls, host, port: address.port(), path: "/healthz".to_owned() }
    }
}

/// Whether a host of a URL is the machine itself.
fn is_this_host(host: &str) -> bool {
    host == "localhost" || bare(host).parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// An IPv6 address without its brackets; any other host as it is.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// A server that listens on every address is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// The status code of the answer.
fn ask(target: &Target) -> io::Result<u16> {
    let addresses = (bare(&target.host), target.port).to_socket_addrs()?;
    let stream = addresses
        .map(|address| TcpStream::connect_timeout(&address, TIMEOUT))
        .reduce(io::Result::or)
        .unwrap_or_else(|| Err(io::Error::other("the host has no address")))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if target.tls {
        exchange(encrypted(target, stream).map_err(io::Error::other)?, target)
    } else {
        exchange(stream, target)
    }
}

fn exchange(mut stream: impl Read + Write, target: &Target) -> io::Result<u16> {
    let Target { host, port, path, .. } = target;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n").as_bytes(),
    )?;

    // "HTTP/1.1 200" is all that matters (RFC 9112 §4).
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line)?;
    std::str::from_utf8(&status_line)
        .ok()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line[9..].parse().ok())
        .ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

/// TLS with whoever is there. The handshake goes on with the first write.
fn encrypted(
    target: &Target,
    stream: TcpStream,
) -> Result<StreamOwned<ClientConnection, TcpStream>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(OwnServer { algorithms }))
        .with_no_client_auth();
    let name = ServerName::try_from(bare(&target.host).to_owned())
        .map_err(|_| rustls::Error::General("the host is no name".to_owned()))?;
    Ok(StreamOwned::new(ClientConnection::new(Arc::new(config), name)?, stream))
}

/// Takes the server of this host for what it is, whatever its certificate says (see the module's head).
#[derive(Debug)]
struct OwnServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for OwnServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn target(tls: bool, host: &str, port: u16, path: &str) -> Target {
        Target { tls, host: host.to_owned(), port, path: path.to_owned() }
    }

    #[test]
    fn a_url_names_scheme_host_port_and_path() {
        for (url, expected) in [
            ("http://127.0.0.1:9/healthz", target(false, "127.0.0.1", 9, "/healthz")),
            ("http://[::1]", target(false, "[::1]", 80, "/")),
            ("http://id.example/healthz", target(false, "id.example", 80, "/healthz")),
            ("https://localhost:9/healthz", target(true, "localhost", 9, "/healthz")),
            ("https://[::1]/", target(true, "[::1]", 443, "/")),
        ] {
            assert_eq!(Target::from_url(url), Ok(expected), "{url}");
        }
        // Elsewhere a certificate would have to be verified.
        for url in
            ["https://a.example/", "https://10.0.0.1/", "ftp://localhost/", "127.0.0.1:9", "", "http://"]
        {
            assert!(Target::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_port_that_lets_us_in_is_asked() {
        let reach = Reach {
            listen: "0.0.0.0:8".parse().unwrap(),
            ops_listen: "[::1]:9".parse().unwrap(),
            tls: false,
            certificate_required: false,
        };
        assert_eq!(Target::of(reach), target(false, "127.0.0.1", 8, "/healthz"));
        let reach = Reach { tls: true, ..reach };
        assert_eq!(Target::of(reach), target(true, "127.0.0.1", 8, "/healthz"));
        let reach = Reach { certificate_required: true, ..reach };
        assert_eq!(Target::of(reach), target(false, "[::1]", 9, "/healthz"));
    }

    #[test]
    fn every_address_is_asked_on_loopback() {
        for (listen, asked) in
            [("0.0.0.0:8", "127.0.0.1:8"), ("[::]:8", "[::1]:8"), ("10.0.0.1:8", "10.0.0.1:8")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn the_status_decides() {
        for (answer, status) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.1 503 x\r\n\r\n", Some(503)),
            ("SSH-2.0-x\r\n....", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let target = target(false, "127.0.0.1", listener.local_addr().unwrap().port(), "/healthz");
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let length = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            });
            assert_eq!(ask(&target).ok(), status);
            assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.1\r\n"));
        }
    }
}
