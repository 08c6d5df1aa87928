//! `mintage client revoke-tokens` and `mintage client explain`: the tokens of a client.

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    backend::{Backend, Target},
    instant,
    show::to_json,
};
use crate::{
    cli::{
        json_text,
        output::{Failure, Report},
    },
    config::duration,
    grpc::pb::admin as pb,
};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage client revoke-tokens billing\n  mintage client revoke-tokens billing --until 2030-01-31T12:00:00Z"
)]
pub(in crate::cli) struct RevokeTokens {
    /// Whose tokens
    client_id: String,
    /// Only those issued until then: a duration before now such as 1h, or an instant such as 2030-01-31T12:00:00Z
    /// [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  mintage client explain billing\n  mintage client explain billing --scope \"read write\" --resource https://api.example --lifetime 5m"
)]
pub(in crate::cli) struct Explain {
    /// Who would ask for a token
    client_id: String,
    /// The scope it would ask for, separated by spaces [default: all it is registered for]
    #[arg(long)]
    scope: Option<String>,
    /// An audience it would name; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    /// A resource it would name (RFC 8707); may be repeated
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// The lifetime it would wish for, such as 5m
    #[arg(long, value_name = "DURATION")]
    lifetime: Option<String>,
    /// The grant it would use [default: client_credentials]
    #[arg(long, value_name = "GRANT")]
    grant_type: Option<String>,
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct ExplainedJson<'a> {
    client_id: &'a str,
    granted: bool,
    decisions: Vec<DecisionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenJson<'a>>,
}

#[derive(Serialize)]
struct DecisionJson<'a> {
    member: &'a str,
    refused: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    oauth_error: &'a str,
    rule: &'a str,
}

/// What the token would say.
#[derive(Serialize)]
struct TokenJson<'a> {
    scope: String,
    audiences: &'a [String],
    /// In seconds.
    expires_in: i64,
    access_token_signing_alg: &'a str,
    claims: Option<Box<RawValue>>,
}

pub(super) async fn revoke(arguments: RevokeTokens) -> Result<Report, Failure> {
    let RevokeTokens { client_id, until, target } = arguments;
    let request = pb::RevokeClientTokensRequest {
        client_id: client_id.clone(),
        issued_until_time: until.as_deref().map(instant::parse_past).transpose()?,
    };
    let response = Backend::open(&target).await?.revoke_tokens(request).await?;
    let until = response.issued_until_time.as_ref().map(instant::format).unwrap_or_default();
    Ok(Report {
        text: format!("every token of {client_id:?} that was issued until {until} is revoked\n"),
        json: serde_json::json!({ "client_id": client_id, "issued_until_time": until }).to_string(),
    })
}

pub(super) async fn explain(arguments: Explain) -> Result<Report, Failure> {
    // An empty scope is passed on as it is: to ask for nothing is wrong, and the answer says so.
    let scopes = arguments.scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
    let request = pb::ExplainTokenRequest {
        client_id: arguments.client_id.clone(),
        grant_type: arguments.grant_type.unwrap_or_default(),
        scopes,
        audiences: arguments.audiences,
        resources: arguments.resources,
        lifetime: arguments.lifetime.as_deref().map(wish).transpose()?,
    };
    report(&arguments.client_id, &Backend::explain(&arguments.target, request).await?)
}

fn wish(text: &str) -> Result<prost_types::Duration, Failure> {
    let wish = duration::parse(text).map_err(|error| Failure::misused(format!("--lifetime: {error}")))?;
    Ok(prost_types::Duration { seconds: i64::try_from(wish.as_secs()).unwrap_or(i64::MAX), nanos: 0 })
}

fn report(client_id: &str, explained: &pb::ExplainTokenResponse) -> Result<Report, Failure> {
    let claims = std::str::from_utf8(&explained.claims_json).unwrap_or_default();
    let expires_in = explained.lifetime.map_or(0, |lifetime| lifetime.seconds);
    let mut text = String::new();
    for decision in &explained.decisions {
        let verdict = if decision.refused { "refused" } else { "ok" };
        let error = if decision.refused { format!("{}: ", decision.oauth_error) } else { String::new() };
        text.push_str(&format!("{:26}  {verdict:7}  {error}{}\n", decision.member, decision.rule));
    }
    if explained.granted {
        text.push_str(&format!(
            "{client_id:?} would get a token signed with {}, with these claims and a jti:\n{}\n",
            explained.access_token_signing_alg,
            json_text::pretty(claims)
        ));
    } else {
        text.push_str(&format!(
            "{client_id:?} would get no token; the first refusal is what it would be told\n"
        ));
    }
    let json = ExplainedJson {
        client_id,
        granted: explained.granted,
        decisions: explained.decisions.iter().map(decision_json).collect(),
        token: explained.granted.then(|| TokenJson {
            scope: explained.scopes.join(" "),
            audiences: &explained.audiences,
            expires_in,
            access_token_signing_alg: &explained.access_token_signing_alg,
            claims: RawValue::from_string(claims.to_owned()).ok(),
        }),
    };
    Ok(Report { text, json: to_json(&json)? })
}

fn decision_json(decision: &pb::Decision) -> DecisionJson<'_> {
    DecisionJson {
        member: &decision.member,
        refused: decision.refused,
        oauth_error: &decision.oauth_error,
        rule: &decision.rule,
    }
}
