//! What the authorization server costs without sockets: `cargo bench --bench core [-- SECONDS] [--runs N] [--pin] [--json FILE]`.
//!
//! Puts a server together in this process, as `mintage serve` does, on an SQLite in memory, and calls it. Prints the CPU time of
//! each operation, of all threads that take part in it, and how much of it is the cryptography alone.

#[path = "support/mod.rs"]
mod support;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use mintage::{
    app::Core,
    clock::SystemClock,
    config::{self as settings, Environment, Sources},
    oauth::{
        AuthorizationServer, Error,
        client::{ClientAuthentication, PresentedCredentials},
        confirmation::{PresentedToken, Scheme},
        introspect::{Credentials, Inquirer, Introspection, Question},
        issue::TokenRequest,
        sender::{Endpoint, Sender},
    },
    secret::Secret,
};

use support::{
    Result,
    bare::{Bare, each},
    config::{self, ALGORITHMS, SECRET},
    options::Options,
    report::{Cell, Table, report},
};

fn main() -> Result<()> {
    let Some(options) = Options::read(1.0, 1)? else { return Ok(()) };
    support::run(async {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("mintage.toml");
        std::fs::write(&file, config::base().replace("sqlite://mintage.db", "sqlite::memory:"))?;
        let sources =
            Sources { config_file: Some(file), environment: Environment::default(), ..Sources::default() };
        let config = settings::load(&sources)?;
        let core = Core::build(&config, Arc::new(SystemClock), directory.path()).await?;
        report(&options, async || Ok(vec![operations(&core.server, &options).await?])).await?;
        Ok(())
    })
}

async fn operations(server: &AuthorizationServer, options: &Options) -> Result<Table> {
    let mut table = Table::new(
        "The authorization server without sockets",
        &["operation", "CPU us", "cryptography alone us"],
    );
    let example = server.issue(&request("RS256")?).await.map_err(failed)?;
    let message = example.access_token.expose().rsplit_once('.').ok_or("no JWT")?.0.to_owned();
    let bare = Bare::measure(message.as_bytes(), options.duration).await?;
    let known = |figure: Option<f64>| figure.map_or(Cell::Nothing, |figure| Cell::Number(figure, 1));
    for alg in ALGORITHMS {
        let request = request(alg)?;
        let cost = each(options.duration, async || server.issue(&request).await).await?;
        let alone = match alg {
            "RS256" => Some(bare.rs256_signature),
            "ES256" => Some(bare.es256_signature),
            _ => None,
        };
        table.add(&format!("issue {alg}"), [Cell::Number(cost, 2), known(alone)]);
    }
    for alg in ALGORITHMS {
        let token = server.issue(&request(alg)?).await.map_err(failed)?.access_token;
        let inquirer = Inquirer {
            credentials: Credentials::Client(authentication(alg)?),
            sender: sender("POST", "/introspect"),
        };
        let question = Question { token: Some(token), ..Question::default() };
        let cost = each(options.duration, async || match server.introspect(&inquirer, &question).await {
            Ok(answered) if answered.answer != Introspection::Inactive => Ok(answered.answer.to_json()),
            other => Err(format!("{other:?}")),
        });
        table.add(
            &format!("introspect {alg}"),
            [Cell::Number(cost.await?, 2), known(verification(&bare, alg))],
        );
    }
    for alg in ALGORITHMS {
        let token = server.issue(&request(alg)?).await.map_err(failed)?.access_token;
        let (token, sender) = (PresentedToken { scheme: Scheme::Bearer, token }, sender("GET", "/userinfo"));
        let cost = each(options.duration, async || server.userinfo(Some(&token), &sender).await).await?;
        table.add(&format!("userinfo {alg}"), [Cell::Number(cost, 2), known(verification(&bare, alg))]);
    }
    Ok(table)
}

fn verification(bare: &Bare, alg: &str) -> Option<f64> {
    match alg {
        "RS256" => Some(bare.rs256_verification),
        "ES256" => Some(bare.es256_verification),
        _ => None,
    }
}

fn request(alg: &str) -> Result<TokenRequest> {
    Ok(TokenRequest {
        authentication: authentication(alg)?,
        sender: sender("POST", "/token"),
        grant_type: Some("client_credentials".to_owned()),
        assertion: None,
        scope: None,
        resources: Vec::new(),
        audiences: Vec::new(),
        lifetime: None,
    })
}

/// Clients have the names of their algorithms.
fn authentication(alg: &str) -> Result<ClientAuthentication> {
    let presented = PresentedCredentials {
        client_id: Some(alg.to_owned()),
        client_secret: Some(Secret::from(SECRET)),
        ..PresentedCredentials::default()
    };
    Ok(ClientAuthentication::read(presented).map_err(failed)?)
}

fn sender(http_method: &'static str, path: &'static str) -> Sender {
    Sender {
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certificate: None,
        dpop_proofs: Vec::new(),
        http_method,
        endpoint: Endpoint::Rest(path),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn failed(error: Error) -> String {
    format!("{error:?}")
}
