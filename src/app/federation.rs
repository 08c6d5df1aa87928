//! Whom the server trusts to vouch for clients, and where their keys come from: fetched, or read from files at the start
//! and again when the files change.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{
    StartError,
    watch::{self, Contents, Watched},
};
use crate::{
    clock::Clock,
    config::{
        Config, NamedFile, Problem,
        proof::{KeysAt, TrustedIssuer as Configured},
    },
    fetch::{self, KeyFetcher},
    jose::JwkSet,
    oauth::{
        federation::{Federation, KeySources, PublishedKeys, TrustedIssuer, claim::Condition},
        replay::ReplayGuard,
    },
};

/// The label of all key sets in metrics.
const JWKS: &str = "jwks";

/// What fetches the keys of others.
pub(super) fn fetcher(config: &Config, clock: &Arc<dyn Clock>) -> Arc<KeyFetcher> {
    let configured = &config.jwks_fetch;
    let settings = fetch::Settings {
        allow_hosts: configured.allow_hosts.clone(),
        allow_private: configured.allow_private,
        allow_http: configured.allow_http,
        timeout: configured.timeout,
        max_bytes: configured.max_bytes,
    };
    Arc::new(KeyFetcher::new(settings, Arc::clone(clock)))
}

/// The trusted issuers and trust domains, if there are any, and the files of their keys.
///
/// # Errors
/// [`StartError::File`].
pub(super) fn from_config(
    config: &Config,
    fetcher: &Arc<KeyFetcher>,
    replays: &Arc<ReplayGuard>,
) -> Result<(Option<Arc<Federation>>, Vec<Watched>), StartError> {
    let mut watched = Vec::new();
    let issuers = config
        .trusted_issuers
        .iter()
        .map(|issuer| trusted_issuer(config, issuer, &mut watched))
        .collect::<Result<Vec<_>, _>>()?;
    let trust_domains = config
        .trust_domains
        .iter()
        .filter_map(|domain| Some((domain.name.clone(), domain.jwt_bundle.as_ref()?)))
        .map(|(name, bundle)| Ok((name, published(bundle, &mut watched)?)))
        .collect::<Result<Vec<_>, StartError>>()?;
    if issuers.is_empty() && trust_domains.is_empty() {
        return Ok((None, watched));
    }
    let sources =
        KeySources { urls: Arc::<KeyFetcher>::clone(fetcher), metadata: Arc::<KeyFetcher>::clone(fetcher) };
    let replays = Arc::clone(replays);
    let federation = Federation::new(config.issuer.clone(), issuers, trust_domains, sources, replays);
    Ok((Some(Arc::new(federation)), watched))
}

fn trusted_issuer(
    config: &Config,
    issuer: &Configured,
    watched: &mut Vec<Watched>,
) -> Result<TrustedIssuer, StartError> {
    let conditions = issuer.conditions.iter();
    Ok(TrustedIssuer {
        issuer: issuer.issuer.clone(),
        keys: published(&issuer.keys, watched)?,
        audience: issuer.audience.clone().unwrap_or_else(|| config.issuer.as_str().to_owned()),
        algorithms: issuer.algorithms.clone(),
        uses_jti: issuer.uses_jti,
        conditions: conditions.map(|(path, value)| Condition::new(path, value)).collect(),
    })
}

pub(super) fn published(keys: &KeysAt, watched: &mut Vec<Watched>) -> Result<PublishedKeys, Problem> {
    Ok(match keys {
        KeysAt::Uri(uri) => PublishedKeys::At(uri.as_str().into()),
        KeysAt::Discovery => PublishedKeys::Discovered,
        KeysAt::File(file) => {
            let contents = watch::read(std::slice::from_ref(file))?;
            let set = Arc::new(ArcSwap::from_pointee(parse(file, &contents)?));
            let (replaced, named) = (Arc::clone(&set), file.clone());
            watched.push(Watched::new(JWKS, vec![file.clone()], &contents, move |contents| {
                replaced.store(Arc::new(parse(&named, contents)?));
                Ok(())
            }));
            PublishedKeys::Read(set)
        }
    })
}

fn parse(file: &NamedFile, contents: &Contents) -> Result<JwkSet, Problem> {
    let unusable =
        |what: String| file.problem(format!("{what}; name a file with a JSON Web Key Set (RFC 7517)"));
    let text = contents.first().map_or(&[][..], |text| text.as_slice());
    let set = JwkSet::parse(text).map_err(|error| unusable(error.to_string()))?;
    if set.is_empty() {
        return Err(unusable("holds no public key that can verify a signature".to_owned()));
    }
    Ok(set)
}
