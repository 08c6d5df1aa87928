//! What was revoked and has not expired, as this replica knows it: a question that every introspection asks, answered from
//! memory.
//!
//! The same revocations lie in the order of their sequences, for whoever follows them from a cursor. A follower is shown
//! a sequence only when everything before it is known too: what this replica revoked itself counts at once for
//! questions, and reaches followers with the change feed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use super::{
    access_token::AccessToken,
    client::ClientId,
    store::{Revocation, Revoked, Sequence},
};
use crate::{
    clock::Timestamp,
    jose::{base64url, base64url_decode},
};

/// Removing a record moves those behind it; it is done for many at once.
const MIN_FORGOTTEN: usize = 1024;

/// How often expired ones are looked for, in seconds.
const FORGET_EVERY: u64 = 60;

/// Up to where revocations are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Which history of sequences.
    pub incarnation: Arc<str>,
    /// The last one.
    pub sequence: Sequence,
}

/// The revocations in memory.
#[derive(Debug)]
pub struct Revocations {
    known: RwLock<Known>,
    position: watch::Sender<Position>,
    written: Notify,
    /// When expired ones were last looked for, in seconds since the epoch.
    looked_at: AtomicU64,
}

/// About a hundred bytes for a token.
#[derive(Debug, Default)]
struct Known {
    /// Ordered by sequence.
    records: VecDeque<Record>,
    /// Until when each may matter, in seconds since the epoch: half of what a [`Timestamp`] takes.
    tokens: HashMap<TokenId, u64>,
    clients: HashMap<ClientId, UntilIssued>,
    keys: HashMap<Box<str>, Timestamp>,
}

#[derive(Debug)]
struct Record {
    sequence: Sequence,
    subject: Subject,
    /// In seconds since the epoch.
    revoked_at: u64,
    /// In seconds since the epoch.
    expires_at: u64,
}

#[derive(Debug)]
enum Subject {
    Token(TokenId),
    Client(Box<(ClientId, Timestamp)>),
    Key(Box<str>),
}

#[derive(Debug)]
struct UntilIssued {
    issued_until: Timestamp,
    expires_at: Timestamp,
}

/// A `jti`: 16 bytes when this server made it, in less than half the space of its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TokenId {
    Random([u8; 16]),
    Text(Box<str>),
}

impl TokenId {
    fn of(text: &str) -> Self {
        // Decoding is strict: one value has one spelling, so two texts are never taken for one identifier.
        base64url_decode(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or_else(|| Self::Text(text.into()), Self::Random)
    }

    fn text(&self) -> String {
        match self {
            Self::Random(bytes) => base64url(bytes),
            Self::Text(text) => text.to_string(),
        }
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            position: watch::Sender::new(Position::default()),
            written: Notify::new(),
            looked_at: AtomicU64::new(0),
        }
    }
}

impl Revocations {
    /// Whether a token was revoked: itself, with all of its client, or with its key.
    pub fn refuses(&self, token: &AccessToken) -> bool {
        let known = self.read();
        (!known.tokens.is_empty() && known.tokens.contains_key(&TokenId::of(&token.token_id)))
            || known
                .clients
                .get(&token.client_id)
                .is_some_and(|client| token.issued_at <= client.issued_until)
            || known.keys.contains_key(token.kid.as_str())
    }

    /// Takes note of a revocation at once, before the change feed tells of it. Again is no different from once.
    pub fn apply(&self, revocation: &Revocation) {
        self.write().insert(revocation);
    }

    /// Takes note of a revocation that this process has made.
    pub fn revoked_here(&self, revocation: &Revocation) {
        self.apply(revocation);
        self.written.notify_one();
    }

    /// Resolves when this process has revoked something: followers wait for the change feed to tell of it.
    pub async fn written(&self) {
        self.written.notified().await;
    }

    /// Takes note of what the change feed told: everything of this history up to the position.
    pub fn advance<'a>(&self, revocations: impl IntoIterator<Item = &'a Revocation>, position: Position) {
        let mut known = self.write();
        for revocation in revocations {
            known.insert(revocation);
        }
        self.position.send_if_modified(|now| {
            let modified = *now != position;
            *now = position;
            modified
        });
    }

    /// Begins anew with everything that is known at a position. What this replica revoked itself behind it stays, unless the
    /// history is another one.
    pub fn replace(&self, revocations: &[Revocation], position: Position) {
        let mut fresh = Known::default();
        for revocation in revocations {
            fresh.insert(revocation);
        }
        let mut known = self.write();
        if self.position.borrow().incarnation == position.incarnation {
            let behind = known.records.iter().filter(|record| record.sequence > position.sequence);
            for revocation in behind.map(Record::to_revocation) {
                fresh.insert(&revocation);
            }
        }
        *known = fresh;
        self.position.send_replace(position);
    }

    /// Forgets revocations that expired before `now`, sooner or later: looking at all of them is not for every sync.
    pub fn forget(&self, now: Timestamp) {
        let looked_at = self.looked_at.load(Ordering::Relaxed);
        if (looked_at..looked_at + FORGET_EVERY).contains(&now.seconds()) {
            return;
        }
        self.looked_at.store(now.seconds(), Ordering::Relaxed);
        self.forget_now(now);
    }

    fn forget_now(&self, now: Timestamp) {
        let expired = {
            let known = self.read();
            known.records.iter().filter(|record| record.expires_at < now.seconds()).count()
        };
        let mut known = match expired {
            0 => return,
            few if few < MIN_FORGOTTEN && few * 2 < self.len() => return,
            _ => self.write(),
        };
        known.records.retain(|record| record.expires_at >= now.seconds());
        known.tokens.retain(|_, expires_at| *expires_at >= now.seconds());
        known.clients.retain(|_, client| client.expires_at >= now);
        known.keys.retain(|_, expires_at| *expires_at >= now);
    }

    /// At most `limit` revocations behind a sequence, in their order, up to the position that is returned with them:
    /// whoever has seen those goes on from there.
    pub fn after(&self, sequence: Sequence, limit: usize) -> (Vec<Revocation>, Position) {
        let known = self.read();
        let mut position = self.position.borrow().clone();
        let start = known.records.partition_point(|record| record.sequence <= sequence);
        let mut found = Vec::new();
        for record in known.records.range(start..).take_while(|record| record.sequence <= position.sequence) {
            if found.len() == limit {
                position.sequence = found.last().map_or(sequence, |last: &Revocation| last.sequence);
                break;
            }
            found.push(record.to_revocation());
        }
        (found, position)
    }

    /// Up to where revocations are known, and whenever that changes.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.read().records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // Every change leaves the maps whole, so a poisoned lock still guards sound ones.
    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, revocation: &Revocation) {
        let Revocation { sequence, revoked, revoked_at, expires_at } = revocation;
        let subject = match revoked {
            Revoked::Token { token_id } => {
                let token_id = TokenId::of(token_id);
                let until = self.tokens.entry(token_id.clone()).or_default();
                *until = (*until).max(expires_at.seconds());
                Subject::Token(token_id)
            }
            Revoked::Client { client_id, issued_until } => {
                let client = self
                    .clients
                    .entry(client_id.clone())
                    .or_insert(UntilIssued { issued_until: *issued_until, expires_at: *expires_at });
                client.issued_until = client.issued_until.max(*issued_until);
                client.expires_at = client.expires_at.max(*expires_at);
                Subject::Client(Box::new((client_id.clone(), *issued_until)))
            }
            Revoked::Key { kid } => {
                let until = self.keys.entry(kid.as_str().into()).or_insert(*expires_at);
                *until = (*until).max(*expires_at);
                Subject::Key(kid.as_str().into())
            }
        };
        // Nearly always the last place.
        let place = self.records.partition_point(|record| record.sequence < *sequence);
        let record = Record {
            sequence: *sequence,
            subject,
            revoked_at: revoked_at.seconds(),
            expires_at: expires_at.seconds(),
        };
        match self.records.get_mut(place) {
            Some(same) if same.sequence == *sequence => *same = record,
            _ => self.records.insert(place, record),
        }
    }
}

impl Record {
    fn to_revocation(&self) -> Revocation {
        let revoked = match &self.subject {
            Subject::Token(token_id) => Revoked::Token { token_id: token_id.text() },
            Subject::Client(client) => {
                Revoked::Client { client_id: client.0.clone(), issued_until: client.1 }
            }
            Subject::Key(kid) => Revoked::Key { kid: kid.to_string() },
        };
        Revocation {
            sequence: self.sequence,
            revoked,
            revoked_at: Timestamp::from_seconds(self.revoked_at),
            expires_at: Timestamp::from_seconds(self.expires_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::access_token::tests::token;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn revocation(sequence: Sequence, revoked: Revoked) -> Revocation {
        Revocation { sequence, revoked, revoked_at: at(50), expires_at: at(1000) }
    }

    fn by_token(sequence: Sequence, token_id: &str) -> Revocation {
        revocation(sequence, Revoked::Token { token_id: token_id.to_owned() })
    }

    fn position(sequence: Sequence) -> Position {
        Position { incarnation: "one".into(), sequence }
    }

    fn sequences(revocations: &Revocations, after: Sequence, limit: usize) -> (Vec<Sequence>, Sequence) {
        let (found, position) = revocations.after(after, limit);
        (found.iter().map(|revocation| revocation.sequence).collect(), position.sequence)
    }

    // V-29: the token and nothing beside it
    #[test]
    fn a_token_is_refused_by_its_identifier_client_or_key() {
        let good = token("AAAAAAAAAAAAAAAAAAAAAA", "c", "k", 100);
        for (revoked, refused) in [
            (Revoked::Token { token_id: "AAAAAAAAAAAAAAAAAAAAAA".into() }, true),
            (Revoked::Token { token_id: "AAAAAAAAAAAAAAAAAAAAAQ".into() }, false),
            (Revoked::Token { token_id: "AAAAAAAAAAAAAAAAAAAAA".into() }, false),
            (Revoked::Client { client_id: ClientId::parse("c").unwrap(), issued_until: at(100) }, true),
            (Revoked::Client { client_id: ClientId::parse("c").unwrap(), issued_until: at(99) }, false),
            (Revoked::Client { client_id: ClientId::parse("d").unwrap(), issued_until: at(100) }, false),
            (Revoked::Key { kid: "k".to_owned() }, true),
            (Revoked::Key { kid: "K".to_owned() }, false),
        ] {
            let revocations = Revocations::default();
            assert!(!revocations.refuses(&good));
            revocations.apply(&revocation(1, revoked.clone()));
            assert_eq!(revocations.refuses(&good), refused, "{revoked:?}");
            assert_eq!(revocations.read().records[0].to_revocation().revoked, revoked);
        }
    }

    #[test]
    fn a_token_takes_little_memory() {
        assert_eq!(size_of::<Record>(), 48);
        assert_eq!(size_of::<(TokenId, u64)>(), 32);
    }

    #[test]
    fn an_earlier_instant_takes_nothing_back() {
        let revocations = Revocations::default();
        for (sequence, until) in [(1, 100), (2, 50)] {
            let client_id = ClientId::parse("c").unwrap();
            revocations.apply(&revocation(sequence, Revoked::Client { client_id, issued_until: at(until) }));
        }
        assert!(revocations.refuses(&token("j", "c", "k", 100)));
    }

    #[test]
    fn followers_see_no_gaps() {
        let revocations = Revocations::default();
        revocations.replace(&[by_token(2, "b")], position(3));
        let mut follower = revocations.position();
        // Revoked here; 4 and 5 are still on their way.
        revocations.apply(&by_token(6, "f"));
        assert!(revocations.refuses(&token("f", "c", "k", 100)));
        assert_eq!(sequences(&revocations, 0, 10), (vec![2], 3));
        assert!(!follower.has_changed().unwrap());

        revocations.advance(&[by_token(5, "e"), by_token(6, "f")], position(6));
        assert!(follower.has_changed().unwrap());
        assert_eq!(*follower.borrow_and_update(), position(6));
        assert_eq!(sequences(&revocations, 3, 10), (vec![5, 6], 6));
        assert_eq!(sequences(&revocations, 0, 2), (vec![2, 5], 5));
        assert_eq!(sequences(&revocations, 6, 2), (vec![], 6));
        revocations.advance(&[], position(6));
        assert!(!follower.has_changed().unwrap());
    }

    #[test]
    fn a_new_beginning_keeps_what_is_newer_than_it() {
        let revocations = Revocations::default();
        revocations.replace(&[by_token(1, "a")], position(1));
        revocations.apply(&by_token(9, "i"));
        revocations.replace(&[by_token(2, "b")], position(8));
        let refused = ["a", "b", "i"].map(|id| revocations.refuses(&token(id, "c", "k", 100)));
        assert_eq!(refused, [false, true, true]);
        let other = Position { incarnation: "two".into(), sequence: 1 };
        revocations.replace(&[by_token(1, "z")], other);
        let refused = ["b", "i", "z"].map(|id| revocations.refuses(&token(id, "c", "k", 100)));
        assert_eq!(refused, [false, false, true]);
    }

    #[test]
    fn what_expired_is_forgotten() {
        let revocations = Revocations::default();
        revocations.apply(&Revocation { expires_at: at(100), ..by_token(1, "a") });
        revocations.apply(&Revocation { expires_at: at(300), ..by_token(2, "a") });
        revocations.apply(&Revocation { expires_at: at(100), ..by_token(3, "b") });
        revocations.forget_now(at(100));
        assert_eq!(revocations.len(), 3);
        revocations.forget(at(101));
        assert_eq!(revocations.len(), 1);
        // Revoked twice: the later one counts.
        assert!(revocations.refuses(&token("a", "c", "k", 100)));
        assert!(!revocations.refuses(&token("b", "c", "k", 100)));
        revocations.forget(at(160));
        assert_eq!(revocations.len(), 1);
        revocations.forget(at(301));
        assert!(revocations.is_empty());
    }
}
