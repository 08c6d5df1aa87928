//! Requests that must fail: what each costs beside one that succeeds, and what many do to those that should (F-24).

use std::{rc::Rc, time::Duration};

use crate::{
    CALLERS, ELSEWHERE,
    support::{
        Result, config,
        http::{HttpCaller, Requests, again, form_with_secret, introspect, issue},
        load::{CONNECTIONS, Offer, beside, closed, open},
        options::Options,
        report::{Cell, Table},
        server::Server,
        signer::{Signer, with_assertion, with_unknown_kid, with_wrong_signature},
    },
};

/// Offers each kind at ten times the capacity, beside good requests for 30 % of it.
pub(crate) async fn measure(capacity: f64, options: &Options) -> Result<Table> {
    let columns = [
        "bad request",
        "good CPU us",
        "bad CPU us",
        "bad <= 1.1 x good",
        "bad/s",
        "good offered/s",
        "good served",
        "good p99 ms",
        "goodput >= 90 %",
    ];
    let mut table = Table::new("Floods of requests that must fail, at 10 x the capacity of RS256", &columns);
    let signer = Rc::new(Signer::new()?);
    let clients = config::base() + &signer.client()?;
    // What a failure costs is measured where failures are not limited, and what they do to others where they are.
    let unlimited = Server::start(&format!("limits.failed_auth_rate = \"off\"\n{clients}"), options.pin)?;
    let limited = Server::start(&clients, options.pin)?;
    for flood in Flood::ALL {
        let mut costs = [0.0; 2];
        for (cost, is_bad) in costs.iter_mut().zip([false, true]) {
            let requests = flood.requests(&unlimited, &signer, is_bad).await?;
            let callers = HttpCaller::many(CONNECTIONS, unlimited.address, &requests).await?;
            let status = if is_bad { flood.status() } else { 200 };
            *cost = closed(&unlimited, callers, status, options.duration / 2).await?.cpu;
        }
        let [good, bad] = costs;
        let requests = flood.requests(&limited, &signer, true).await?;
        let crowd = HttpCaller::many_from(CALLERS, limited.address, Some(ELSEWHERE), &requests).await?;
        let address = limited.address;
        let connect = async move || HttpCaller::many(CALLERS / 10, address, &again(&issue("RS256"))).await;
        let others = beside(connect, Duration::ZERO, Offer::new(capacity * 0.3, options.duration)).await?;
        let flooding = open(&limited, crowd, Offer::new(capacity * 10.0, options.duration)).await?;
        let others = others.end().await?;
        let cells = [
            Cell::Number(good, 1),
            Cell::Number(bad, 1),
            // They are measured one after the other, and the machine is not always the same.
            Cell::AtMost(bad, good * 1.1),
            Cell::Number(flooding.offered - flooding.lost, 0),
            Cell::Number(others.offered, 0),
            Cell::Number(others.served, 3),
            Cell::Number(others.accepted.quantile(0.99), 1),
            Cell::AtLeast(others.served, 0.9),
        ];
        table.add(flood.name(), cells);
    }
    Ok(table)
}

/// What is wrong with the requests of a flood.
#[derive(Clone, Copy)]
enum Flood {
    Secret,
    AssertionSignature,
    AssertionKey,
    TokenSignature,
    TokenKey,
}

impl Flood {
    const ALL: [Self; 5] =
        [Self::Secret, Self::AssertionSignature, Self::AssertionKey, Self::TokenSignature, Self::TokenKey];

    fn name(self) -> &'static str {
        match self {
            Self::Secret => "token ES256, wrong secret",
            Self::AssertionSignature => "token ES256, assertion with a wrong signature",
            Self::AssertionKey => "token ES256, assertion with an unknown kid",
            Self::TokenSignature => "introspect ES256, wrong signature",
            Self::TokenKey => "introspect ES256, unknown kid",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Secret => 401,
            Self::AssertionSignature | Self::AssertionKey => 400,
            Self::TokenSignature | Self::TokenKey => 200,
        }
    }

    /// The bad requests, or good ones of the same kind.
    async fn requests(self, server: &Server, signer: &Rc<Signer>, is_bad: bool) -> Result<Requests> {
        match self {
            Self::Secret => {
                let last = if is_bad { "X" } else { "G" };
                let secret = config::SECRET.strip_suffix('G').unwrap_or_default();
                let body = "grant_type=client_credentials";
                Ok(again(&form_with_secret("/token", "ES256", &format!("{secret}{last}"), body)))
            }
            Self::AssertionSignature | Self::AssertionKey if is_bad => {
                Ok(again(&with_assertion(&self.spoil(&signer.assertion()?)?)))
            }
            Self::AssertionSignature | Self::AssertionKey => {
                let signer = Rc::clone(signer);
                Ok(Rc::new(move || Ok(with_assertion(&signer.assertion()?))))
            }
            Self::TokenSignature | Self::TokenKey => {
                let mut connection = server.connect().await?;
                connection.ask(&issue("ES256")).await?;
                let token = connection.token()?;
                let token = if is_bad { self.spoil(&token)? } else { token };
                Ok(again(&introspect("ES256", &token)))
            }
        }
    }

    fn spoil(self, jws: &str) -> Result<String> {
        match self {
            Self::AssertionKey | Self::TokenKey => with_unknown_kid(jws),
            Self::Secret | Self::AssertionSignature | Self::TokenSignature => with_wrong_signature(jws),
        }
    }
}
