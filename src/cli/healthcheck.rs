//! `mintage healthcheck`: one plain HTTP/1.1 request to `/healthz`, for container runtimes.
//!
//! Written over a socket of the standard library: a health check runs every few seconds in images that may have no
//! certificates, and must not load what it does not need.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::{
    output::{Failure, Report},
    serve,
};
use crate::config;

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
    let url = format!("http://{}{}", target.authority, target.path);
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
    authority: String,
    path: String,
}

impl Target {
    fn from_url(url: &str) -> Result<Self, Failure> {
        let misused = || Failure::misused("--url must be a plain URL such as http://127.0.0.1:8000/healthz");
        let uri: http::Uri = url.parse().map_err(|_| misused())?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(misused());
        };
        let port = authority.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { authority: format!("{}:{port}", authority.host()), path: path.to_owned() })
    }

    fn from_config(arguments: &Arguments) -> Result<Self, Failure> {
        let arguments = serve::Arguments { config: arguments.config.clone(), ..serve::Arguments::default() };
        let listen = config::listen(&arguments.into_sources())
            .map_err(|problem| Failure::failed(problem.to_string()))?;
        Ok(Self { authority: reachable(listen).to_string(), path: "/healthz".to_owned() })
    }
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
    let addresses = target.authority.to_socket_addrs()?;
    let mut stream = addresses
        .map(|address| TcpStream::connect_timeout(&address, TIMEOUT))
        .reduce(io::Result::or)
        .unwrap_or_else(|| Err(io::Error::other("the host has no address")))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let Target { authority, path } = target;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n").as_bytes(),
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_url_names_host_port_and_path() {
        let target =
            |authority: &str, path: &str| Target { authority: authority.to_owned(), path: path.to_owned() };
        assert_eq!(Target::from_url("http://127.0.0.1:9/healthz"), Ok(target("127.0.0.1:9", "/healthz")));
        assert_eq!(Target::from_url("http://[::1]"), Ok(target("[::1]:80", "/")));
        for url in ["https://a.example/", "127.0.0.1:9", "", "http://"] {
            assert!(Target::from_url(url).is_err(), "{url}");
        }
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
            let target =
                Target { authority: listener.local_addr().unwrap().to_string(), path: "/healthz".to_owned() };
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
