//! What a handler reports about the request it serves, for the log line and the metrics.
//!
//! The serving layer puts an `Arc<RequestRecord>` into every request's extensions; handlers fill in what they learn
//! and the layer reads it once, after the response head. Every word is `'static`, hence from a closed set, except
//! the client id: it is set from a parsed one, and so is bounded in length and alphabet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::refusal::RefusalReason;

/// The facts about one request, empty until a handler learns them.
#[derive(Debug)]
pub struct RequestRecord(Mutex<Facts>);

#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) endpoint: &'static str,
    pub(super) grant: Option<&'static str>,
    pub(super) error: Option<&'static str>,
    pub(super) detail: Option<String>,
    pub(super) too_many: Option<RefusalReason>,
    pub(super) client_id: Option<String>,
    pub(super) issued: Vec<&'static str>,
}

impl Facts {
    const fn none() -> Self {
        Self {
            endpoint: "other",
            grant: None,
            error: None,
            detail: None,
            too_many: None,
            client_id: None,
            issued: Vec::new(),
        }
    }
}

impl RequestRecord {
    /// A record that knows nothing: its endpoint is `other`.
    pub fn new() -> Self {
        Self(Mutex::new(Facts::none()))
    }

    /// Names the endpoint that was matched, in words of the contract: `token`, `introspect`, `Issue`.
    pub fn set_endpoint(&self, endpoint: &'static str) {
        self.facts().endpoint = endpoint;
    }

    /// Names the client. Only for identifiers that were parsed: raw input may hold a misplaced secret.
    pub fn set_client_id(&self, client_id: &str) {
        self.facts().client_id = Some(client_id.to_owned());
    }

    /// Names the grant (RFC 6749 §1.3).
    pub fn set_grant(&self, grant: &'static str) {
        self.facts().grant = Some(grant);
    }

    /// Tells that the request was refused, with the OAuth error code of the answer (RFC 6749 §5.2).
    pub fn set_error(&self, code: &'static str) {
        self.facts().error = Some(code);
    }

    /// Notes a refusal for the log line: the code of the answer, and why, which the caller is not told.
    pub fn refuse(&self, code: &'static str, detail: Option<impl Into<String>>) {
        let mut facts = self.facts();
        (facts.error, facts.detail) = (Some(code), detail.map(Into::into));
    }

    /// Tells that the request was refused because there are too many.
    pub fn set_too_many(&self, reason: RefusalReason) {
        self.facts().too_many = Some(reason);
    }

    /// Of what there were too many, if that is why it was refused.
    pub fn too_many(&self) -> Option<RefusalReason> {
        self.facts().too_many
    }

    /// Counts one token that was issued, by its signature algorithm (RFC 7518 §3.1).
    pub fn add_issued(&self, alg: &'static str) {
        self.facts().issued.push(alg);
    }

    /// Moves the facts out, leaving their defaults: they are read once.
    pub(super) fn take(&self) -> Facts {
        std::mem::replace(&mut *self.facts(), Facts::none())
    }

    /// A panic elsewhere cannot leave the facts half-written: every setter is one assignment.
    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RequestRecord {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::RequestRecord;

    #[test]
    fn a_new_record_is_of_no_endpoint() {
        let facts = RequestRecord::new().take();
        assert_eq!(facts.endpoint, "other");
        assert!(facts.client_id.is_none() && facts.error.is_none() && facts.issued.is_empty());
    }

    #[test]
    fn what_a_handler_reports_is_read_back() {
        let record = RequestRecord::new();
        record.set_endpoint("token");
        record.set_client_id("billing");
        record.set_grant("client_credentials");
        record.set_error("invalid_scope");
        record.add_issued("RS256");
        let facts = record.take();
        assert_eq!((facts.endpoint, facts.client_id.as_deref()), ("token", Some("billing")));
        assert_eq!((facts.grant, facts.error), (Some("client_credentials"), Some("invalid_scope")));
        assert_eq!(facts.issued, ["RS256"]);
    }
}
