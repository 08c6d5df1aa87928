//! Requests that must fail: what each costs beside one that succeeds, and what many do to those that should (F-24).

use std::{cell::Cell as Counter, rc::Rc, time::Duration};

use crate::{
    CALLERS, ELSEWHERE,
    support::{
        Result, config,
        http::{HttpCaller, Requests, again, form_with_secret, introspect, issue},
        load::{CONNECTIONS, Offer, beside, closed, once, open},
        options::Options,
        report::{Cell, Table},
        server::Server,
        signer::{Signer, with_assertion, with_unknown_kid, with_wrong_signature},
        unknown::Unknown,
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
        let good = flood.cost_of_good(&unlimited, &signer, options.duration / 2).await?;
        let requests = flood.requests(&unlimited, &signer).await?;
        let callers = HttpCaller::many(CONNECTIONS, unlimited.address, &requests).await?;
        let bad = closed(&unlimited, callers, flood.status(), options.duration / 2).await?.cpu;
        let requests = flood.requests(&limited, &signer).await?;
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

    /// CPU microseconds of a good request of the same kind.
    async fn cost_of_good(self, server: &Server, signer: &Rc<Signer>, duration: Duration) -> Result<f64> {
        let requests: Requests = match self {
            Self::Secret => again(&issue("ES256")),
            Self::AssertionSignature | Self::AssertionKey => {
                let signer = Rc::clone(signer);
                Rc::new(move || Ok(with_assertion(&signer.assertion()?)))
            }
            Self::TokenSignature | Self::TokenKey => {
                let tokens = Unknown::get(server, "ES256").await?;
                let requests: Requests = Rc::new(move || Ok(introspect("ES256", &tokens.next()?)));
                let callers = HttpCaller::many(CONNECTIONS, server.address, &requests).await?;
                return Ok(once(server, callers).await?.cpu);
            }
        };
        let callers = HttpCaller::many(CONNECTIONS, server.address, &requests).await?;
        Ok(closed(server, callers, 200, duration).await?.cpu)
    }

    /// The bad requests.
    async fn requests(self, server: &Server, signer: &Signer) -> Result<Requests> {
        match self {
            Self::Secret => {
                let secret = config::SECRET.strip_suffix('G').unwrap_or_default();
                let body = "grant_type=client_credentials";
                Ok(again(&form_with_secret("/token", "ES256", &format!("{secret}X"), body)))
            }
            Self::AssertionSignature => {
                Ok(again(&with_assertion(&with_wrong_signature(&signer.assertion()?, 0)?)))
            }
            Self::AssertionKey => Ok(again(&with_assertion(&with_unknown_kid(&signer.assertion()?)?))),
            Self::TokenSignature => {
                let (token, number) = (server.token("ES256").await?, Counter::new(0));
                // Each is another one: the server recognises what it has found wrong.
                Ok(Rc::new(move || {
                    let number = number.replace(number.get() + 1);
                    Ok(introspect("ES256", &with_wrong_signature(&token, number)?))
                }))
            }
            Self::TokenKey => {
                Ok(again(&introspect("ES256", &with_unknown_kid(&server.token("ES256").await?)?)))
            }
        }
    }
}
