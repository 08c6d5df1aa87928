//! `mintage.token.v1.KeyService`: the keys and the revocations, for resource servers that validate tokens themselves.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tonic::{Request, Response, Status};

use super::{
    call::Call,
    client_authentication, error,
    pb::token as pb,
    time::from_pb_duration,
    watch::{Ended, Messages, Outlet, Streams, shutting_down},
};
use crate::{
    clock::Timestamp,
    jose::{Jwk, KeyRing, jwk::PublicParameters},
    oauth::{
        AuthorizationServer, Error,
        client::AuthenticatedClient,
        introspect::Caller,
        revocations::Position,
        store::{Revocation, Revoked},
    },
};

/// How many streams of keys, and how many of revocations, are open at once.
const MAX_STREAMS: usize = 4096;

/// How many revocations one message holds: some 50 KiB.
const BATCH: usize = 500;

/// How often a quiet stream of revocations is heard of.
const HEARTBEAT: Duration = Duration::from_secs(5);
const SHORTEST_HEARTBEAT: Duration = Duration::from_secs(1);
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(60);

/// How long a stream goes on while nobody can say whether its caller still may follow it.
const LONGEST_UNKNOWN: Duration = Duration::from_secs(300);

/// The service, over the core.
#[derive(Debug)]
pub(super) struct KeyService {
    server: Arc<AuthorizationServer>,
    jwks_max_age: Duration,
    jwks_streams: Streams,
    revocation_streams: Streams,
}

impl KeyService {
    /// A service whose streams end when `ending` says so.
    pub(super) fn new(
        server: Arc<AuthorizationServer>,
        jwks_max_age: Duration,
        ending: watch::Receiver<bool>,
    ) -> Self {
        // Each has places of its own: anybody may follow the keys, which must keep nobody from the revocations.
        let (jwks_streams, revocation_streams) =
            (Streams::new(MAX_STREAMS, ending.clone()), Streams::new(MAX_STREAMS, ending));
        Self { server, jwks_max_age, jwks_streams, revocation_streams }
    }
}

#[tonic::async_trait]
impl pb::key_service_server::KeyService for KeyService {
    async fn get_jwks(
        &self,
        request: Request<pb::GetJwksRequest>,
    ) -> Result<Response<pb::GetJwksResponse>, Status> {
        let (call, _) = Call::begin(pb::key_service_server::SERVICE_NAME, "GetJwks", request);
        let ring = self.server.keys().current();
        let set = key_set(&ring, self.jwks_max_age);
        call.finish(set.map(|set| pb::GetJwksResponse {
            jwks_json: set.jwks_json,
            keys: set.keys,
            max_age: set.max_age,
        }))
    }

    type WatchJwksStream = Messages<pb::WatchJwksResponse>;

    async fn watch_jwks(
        &self,
        request: Request<pb::WatchJwksRequest>,
    ) -> Result<Response<Self::WatchJwksStream>, Status> {
        let (call, _) = Call::begin(pb::key_service_server::SERVICE_NAME, "WatchJwks", request);
        let (changes, max_age) = (self.server.keys().subscribe(), self.jwks_max_age);
        let place = self.jwks_streams.place(call.sender.source);
        call.finish(place.map(|place| place.run(move |outlet| follow_keys(changes, max_age, outlet))))
    }

    type WatchRevocationsStream = Messages<pb::WatchRevocationsResponse>;

    async fn watch_revocations(
        &self,
        request: Request<pb::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let (call, message) = Call::begin(pb::key_service_server::SERVICE_NAME, "WatchRevocations", request);
        call.finish(self.admit(&call, message).await)
    }
}

impl KeyService {
    async fn admit(
        &self,
        call: &Call,
        message: pb::WatchRevocationsRequest,
    ) -> Result<Messages<pb::WatchRevocationsResponse>, Error> {
        let caller = client_authentication::caller(call, message.client_authentication, &message.client_id)?;
        let watcher = Watcher {
            client: self.server.admit_to_revocations(&caller).await?,
            caller,
            server: Arc::clone(&self.server),
            cursor: Cursor::parse(&message.cursor)?,
            heartbeat: heartbeat(message.heartbeat_interval)?,
            looked_at: Instant::now(),
            admitted_at: Instant::now(),
        };
        Ok(self.revocation_streams.place(call.sender.source)?.run(|outlet| watcher.follow(outlet)))
    }
}

async fn follow_keys(
    mut changes: watch::Receiver<Arc<KeyRing>>,
    max_age: Duration,
    outlet: Outlet<pb::WatchJwksResponse>,
) -> Ended {
    loop {
        let ring = Arc::clone(&changes.borrow_and_update());
        let message = match key_set(&ring, max_age) {
            Ok(set) => set,
            Err(problem) => return Ended::Status(error::status(&problem)),
        };
        if let Err(ended) = outlet.send(message).await {
            return ended;
        }
        if changes.changed().await.is_err() {
            return Ended::Status(shutting_down());
        }
    }
}

/// Somebody who follows the revocations.
struct Watcher {
    server: Arc<AuthorizationServer>,
    caller: Caller,
    /// Who that is, as it was when last looked at.
    client: AuthenticatedClient,
    /// `None` at the beginning.
    cursor: Option<Cursor>,
    heartbeat: Duration,
    /// When the caller's right was last asked for.
    looked_at: Instant,
    /// When the caller last had it.
    admitted_at: Instant,
}

impl Watcher {
    async fn follow(mut self, outlet: Outlet<pb::WatchRevocationsResponse>) -> Ended {
        let mut position = self.server.revocations().position();
        loop {
            position.mark_unchanged();
            loop {
                // However much there is to tell: the right to hear it may be gone.
                if let Err(ended) = self.admit_again().await {
                    return ended;
                }
                let message = self.next_batch();
                let caught_up = message.caught_up;
                if let Err(ended) = outlet.send(message).await {
                    return ended;
                }
                if caught_up {
                    break;
                }
            }
            // A change of something else moves the position too, and is no reason for a message.
            let quiet = sleep(self.heartbeat);
            tokio::pin!(quiet);
            loop {
                tokio::select! {
                    () = quiet.as_mut() => break,
                    changed = position.changed() => {
                        if changed.is_err() {
                            return Ended::CallerGone;
                        }
                        position.mark_unchanged();
                        if self.has_news() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Asks once per heartbeat whether the caller still may follow.
    async fn admit_again(&mut self) -> Result<(), Ended> {
        if self.looked_at.elapsed() < self.heartbeat {
            return Ok(());
        }
        self.looked_at = Instant::now();
        match self.server.still_admits_to_revocations(&self.caller, &self.client).await {
            Ok(client) => {
                self.client = client;
                self.admitted_at = self.looked_at;
                Ok(())
            }
            // Whether the caller still may is not known now; it was a while ago.
            Err(problem) if !is_final(&problem) && self.admitted_at.elapsed() < LONGEST_UNKNOWN => Ok(()),
            Err(problem) => Err(Ended::Status(error::status(&problem))),
        }
    }

    fn has_news(&self) -> bool {
        let (found, now) = self.server.revocations().after(self.sequence(), 1);
        !found.is_empty() || !self.goes_on_from(&now)
    }

    /// What follows the cursor, which is moved on.
    fn next_batch(&mut self) -> pb::WatchRevocationsResponse {
        let revocations = self.server.revocations();
        let (mut found, mut now) = revocations.after(self.sequence(), BATCH);
        let reset = !self.goes_on_from(&now);
        if reset {
            (found, now) = revocations.after(0, BATCH);
        }
        // A replica that is behind the one the cursor comes from has nothing to tell until it is not.
        let sequence = if reset { now.sequence } else { now.sequence.max(self.sequence()) };
        let cursor = Cursor { incarnation: now.incarnation, sequence };
        let message = pb::WatchRevocationsResponse {
            reset,
            caught_up: found.len() < BATCH,
            revocations: found.iter().map(to_message).collect(),
            cursor: cursor.to_string(),
            staleness: self.server.staleness().and_then(|age| age.try_into().ok()),
        };
        self.cursor = Some(cursor);
        message
    }

    fn sequence(&self) -> u64 {
        self.cursor.as_ref().map_or(0, |cursor| cursor.sequence)
    }

    fn goes_on_from(&self, position: &Position) -> bool {
        self.cursor.as_ref().is_some_and(|cursor| cursor.incarnation == position.incarnation)
    }
}

/// Whether a caller was refused, rather than not checked.
fn is_final(problem: &Error) -> bool {
    matches!(problem, Error::InvalidClient(_) | Error::UnauthorizedClient(_))
}

/// How far a caller has read: `incarnation.sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    incarnation: Arc<str>,
    sequence: u64,
}

impl Cursor {
    fn parse(text: &str) -> Result<Option<Self>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let parts = text.rsplit_once('.');
        let cursor = parts.and_then(|(incarnation, sequence)| {
            Some(Self { incarnation: incarnation.into(), sequence: sequence.parse().ok()? })
        });
        cursor.map(Some).ok_or_else(|| {
            Error::invalid_request("cursor must be empty or the cursor of an earlier response, unchanged")
        })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.sequence)
    }
}

fn heartbeat(asked: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let Some(asked) = asked else { return Ok(HEARTBEAT) };
    from_pb_duration(asked)
        .filter(|asked| (SHORTEST_HEARTBEAT..=LONGEST_HEARTBEAT).contains(asked))
        .ok_or_else(|| Error::invalid_request("heartbeat_interval must be 1 to 60 seconds"))
}

fn to_message(revocation: &Revocation) -> pb::Revocation {
    use pb::revocation::Revoked as Pb;

    let revoked = match &revocation.revoked {
        Revoked::Token { token_id } => Pb::TokenId(token_id.clone()),
        Revoked::Client { client_id, issued_until } => Pb::Client(pb::RevokedClient {
            client_id: client_id.as_str().to_owned(),
            issued_until: timestamp(*issued_until),
        }),
        Revoked::Key { kid } => Pb::Kid(kid.clone()),
    };
    pb::Revocation {
        revoked: Some(revoked),
        revoke_time: timestamp(revocation.revoked_at),
        expire_time: timestamp(revocation.expires_at),
    }
}

fn timestamp(at: Timestamp) -> Option<prost_types::Timestamp> {
    i64::try_from(at.seconds()).ok().map(|seconds| prost_types::Timestamp { seconds, nanos: 0 })
}

fn key_set(ring: &KeyRing, max_age: Duration) -> Result<pb::WatchJwksResponse, Error> {
    let jwks_json =
        serde_json::to_vec(ring.published()).map_err(|error| Error::ServerError(error.to_string()))?;
    let keys = ring.published().keys.iter().map(to_key).collect();
    Ok(pb::WatchJwksResponse { jwks_json, keys, max_age: max_age.try_into().ok() })
}

fn to_key(jwk: &Jwk) -> pb::JsonWebKey {
    let key = pb::JsonWebKey {
        kid: jwk.kid().to_owned(),
        r#use: "sig".to_owned(),
        alg: jwk.alg().to_owned(),
        ..Default::default()
    };
    match jwk.parameters().clone() {
        PublicParameters::Rsa { n, e } => pb::JsonWebKey { kty: "RSA".to_owned(), n, e, ..key },
        PublicParameters::Ec { crv, x, y } => {
            pb::JsonWebKey { kty: "EC".to_owned(), crv: crv.to_owned(), x, y, ..key }
        }
        PublicParameters::Okp { crv, x } => {
            pb::JsonWebKey { kty: "OKP".to_owned(), crv: crv.to_owned(), x, ..key }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for text in ["a.1", "a.b.0", ".18446744073709551615"] {
            assert_eq!(Cursor::parse(text).unwrap().unwrap().to_string(), text);
        }
        assert_eq!(Cursor::parse("").unwrap(), None);
        for text in ["a", "a.", "a.-1", "a.1 ", "a.18446744073709551616"] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn heartbeats_are_bounded() {
        let seconds = |seconds| heartbeat(Some(prost_types::Duration { seconds, nanos: 0 })).ok();
        assert_eq!(heartbeat(None).unwrap(), HEARTBEAT);
        assert_eq!([seconds(1), seconds(60)].map(Option::unwrap), [SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT]);
        assert_eq!([seconds(0), seconds(61), seconds(-1)], [None; 3]);
        assert_eq!(seconds(i64::MIN), None);
    }
}
