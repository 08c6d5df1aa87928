//! Secrets of a client (RFC 6749 §2.3.1): several at once, so that a new one is in use everywhere before the old one ends.
//!
//! A secret is told once, in the answer of the call that made it. What is kept is its hash, which no call tells (V-73).

use std::sync::Arc;

use super::{
    clients::ClientAdmin,
    error::{AdminError, Violation},
};
use crate::{
    clock::Timestamp,
    jose::base64url,
    oauth::client::{
        ClientRegistration, SecretForm, SecretHash, TokenEndpointAuthMethod,
        document::{ClientDocument, SecretRecord},
        secret::GENERATED_PREFIX,
    },
    random::{self, Random, RandomError},
    secret::Secret,
};

/// The most secrets of a client that have not ended.
const MAX_SECRETS: usize = 10;

/// How many that have ended are still listed.
const ENDED: usize = 10;

/// The shortest secret that somebody may choose.
const MIN_CHOSEN: usize = 16;

/// A secret to add.
#[derive(Debug, Default)]
pub struct NewSecret {
    /// The secret, if somebody chose it.
    pub chosen: Option<Secret<String>>,
    /// From when it is accepted.
    pub not_before: Option<Timestamp>,
    /// From when it no longer is.
    pub expires_at: Option<Timestamp>,
}

/// What is told of a secret. Instants are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Names it among the secrets of its client.
    pub secret_id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it is accepted.
    pub not_before: Option<Timestamp>,
    /// From when it no longer is.
    pub expires_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
}

impl ClientAdmin {
    /// Adds a secret to a client. The second part is the secret if one was made: this is the only time that it is told.
    ///
    /// # Errors
    /// As those of [`ClientAdmin::update`].
    pub async fn add_secret(
        &self,
        client_id: &str,
        new: &NewSecret,
    ) -> Result<(SecretInfo, Option<Secret<String>>), AdminError> {
        let client_id = self.changeable(client_id)?;
        let violations = self.secret_violations(new, "expire_time");
        if !violations.is_empty() {
            return Err(AdminError::InvalidArgument(violations));
        }
        // A stranger to this client must not make the server compute Argon2id.
        let (_, document) = self.read(&client_id).await?;
        if !may_have_secret(&document.registration) {
            return Err(AdminError::FailedPrecondition(useless(&document.registration)));
        }
        let form = form_for(&document.registration);
        let (record, secret) = self.make_secret(new, form).await?;
        let now = self.now();
        let add = |document: &mut ClientDocument| {
            if form_for(&document.registration) != form || !may_have_secret(&document.registration) {
                return Err(AdminError::Aborted(
                    "token_endpoint_auth_method was changed meanwhile; add the secret again".to_owned(),
                ));
            }
            forget_ended(document, now, new.chosen.is_some());
            if document.secrets.iter().filter(|secret| !has_ended(secret, now)).count() >= MAX_SECRETS {
                return Err(AdminError::FailedPrecondition(format!(
                    "the client has {MAX_SECRETS} secrets; retire one of them first"
                )));
            }
            document.secrets.push(record.clone());
            Ok(())
        };
        self.change(&client_id, None, add).await?;
        Ok((info(&record, None), secret))
    }

    /// The secrets of a client, the oldest first.
    ///
    /// # Errors
    /// As those of [`ClientAdmin::get`], and [`AdminError::FailedPrecondition`] for a client of the configuration file.
    pub async fn list_secrets(&self, client_id: &str) -> Result<Vec<SecretInfo>, AdminError> {
        let client_id = self.changeable(client_id)?;
        let (_, document) = self.read(&client_id).await?;
        let uses = self.0.clients.uses(&client_id).await?;
        let last_used = |id: &str| uses.iter().find(|used| used.secret_id == id).map(|used| used.used_at);
        Ok(document.secrets.iter().map(|secret| info(secret, last_used(&secret.secret_id))).collect())
    }

    /// Ends a secret at an instant, at once if that is `None` or past. One that has ended stays so (V-25).
    ///
    /// # Errors
    /// As those of [`ClientAdmin::update`].
    pub async fn retire_secret(
        &self,
        client_id: &str,
        secret_id: &str,
        at: Option<Timestamp>,
    ) -> Result<SecretInfo, AdminError> {
        let client_id = self.changeable(client_id)?;
        let now = self.now();
        let at = Timestamp::from_seconds(at.unwrap_or(now).max(now).seconds());
        let retire = |document: &mut ClientDocument| {
            let secret = document
                .secrets
                .iter_mut()
                .find(|secret| secret.secret_id == secret_id)
                .ok_or_else(|| {
                    AdminError::NotFound(format!("the client has no secret {secret_id:?}; list its secrets"))
                })?;
            if !has_ended(secret, now) {
                secret.expires_at = Some(at.seconds());
            }
            Ok(info(secret, None))
        };
        let (_, _, retired) = self.change(&client_id, None, retire).await?;
        Ok(retired)
    }

    /// Makes a secret and what is kept of it. The secret is told only if nobody chose it.
    pub(super) async fn make_secret(
        &self,
        new: &NewSecret,
        form: SecretForm,
    ) -> Result<(SecretRecord, Option<Secret<String>>), AdminError> {
        let generated = if new.chosen.is_none() { Some(generate(&*self.0.random)?) } else { None };
        let secret = match (&new.chosen, &generated) {
            (Some(chosen), _) => chosen.clone(),
            (None, Some(generated)) => generated.clone(),
            (None, None) => return Err(AdminError::Internal("no secret was made".to_owned())),
        };
        let hash = self.keep(secret, form).await?;
        let record = SecretRecord {
            secret_id: base64url(random::bytes::<9>(&*self.0.random)?),
            hash,
            created_at: self.now().seconds(),
            not_before: new.not_before.map(Timestamp::seconds),
            expires_at: new.expires_at.map(Timestamp::seconds),
        };
        Ok((record, generated))
    }

    /// The text to keep of a secret, made off the threads that serve requests: Argon2id takes tens of milliseconds.
    pub(super) async fn keep(&self, secret: Secret<String>, form: SecretForm) -> Result<String, AdminError> {
        let (verifier, random) = (Arc::clone(&self.0.secrets), Arc::clone(&self.0.random));
        tokio::task::spawn_blocking(move || verifier.keep(&secret, form, &*random).map(|hash| hash.to_text()))
            .await
            .map_err(|error| AdminError::Internal(error.to_string()))?
            .map_err(AdminError::Internal)
    }

    /// Everything that is wrong with a new secret. `expire_time` is what the request calls its end.
    pub(super) fn secret_violations(&self, new: &NewSecret, expire_time: &'static str) -> Vec<Violation> {
        let mut violations = Vec::new();
        let sound = |secret: &Secret<String>| {
            let secret = secret.expose();
            (MIN_CHOSEN..=1024).contains(&secret.len())
                && secret.bytes().all(|byte| matches!(byte, 0x20..=0x7E))
        };
        if new.chosen.as_ref().is_some_and(|secret| !sound(secret)) {
            let problem = format!(
                "a chosen secret is {MIN_CHOSEN} to 1024 printable ASCII characters; leave it out to have one made"
            );
            violations.push(Violation { member: "client_secret", problem });
        }
        if let Some(expires_at) = new.expires_at
            && (expires_at <= self.now() || new.not_before.is_some_and(|from| expires_at <= from))
        {
            let after = new.not_before.map_or("", |_| " and after not_before_time");
            let problem = format!("it must be in the future{after}");
            violations.push(Violation { member: expire_time, problem });
        }
        violations
    }
}

impl NewSecret {
    /// Whether somebody says anything of it.
    pub(super) fn is_asked_for(&self) -> bool {
        self.chosen.is_some() || self.not_before.is_some() || self.expires_at.is_some()
    }
}

/// In which form the secrets of a client are kept.
pub(super) fn form_for(registration: &ClientRegistration) -> SecretForm {
    SecretForm::of(method_of(registration))
}

/// Whether a client of this registration can authenticate with a secret at all.
pub(super) fn may_have_secret(registration: &ClientRegistration) -> bool {
    method_of(registration).is_none_or(TokenEndpointAuthMethod::uses_secret)
}

/// Whether a client of this registration is made with a secret. One whose method is left out need not have one when subjects
/// of trusted issuers act as it.
pub(super) fn gets_secret(registration: &ClientRegistration, new: &NewSecret) -> bool {
    let without_method = new.is_asked_for() || registration.federated.is_empty();
    method_of(registration).map_or(without_method, TokenEndpointAuthMethod::uses_secret)
}

/// Whether a client that becomes this one needs a secret and has none for it.
pub(super) fn lacks_secret(
    document: &ClientDocument,
    registration: &ClientRegistration,
    now: Timestamp,
) -> bool {
    let form = form_for(registration);
    let fits = |secret: &SecretRecord| {
        !has_ended(secret, now) && SecretHash::parse(&secret.hash).is_ok_and(|hash| hash.form() == form)
    };
    gets_secret(registration, &NewSecret::default()) && !document.secrets.iter().any(fits)
}

/// Why a client has no secret.
pub(super) fn useless(registration: &ClientRegistration) -> String {
    format!(
        "token_endpoint_auth_method {:?} uses no secret; leave the secret out, or change the method first",
        registration.token_endpoint_auth_method.as_deref().unwrap_or_default()
    )
}

/// Ends the secrets that the method has no use for, so that changing it back revives none (V-25).
pub(super) fn end_useless(document: &mut ClientDocument, now: Timestamp) {
    let form = may_have_secret(&document.registration).then(|| form_for(&document.registration));
    for secret in &mut document.secrets {
        let kept = SecretHash::parse(&secret.hash).map(|hash| hash.form()).ok();
        if (form.is_none() || kept != form) && !has_ended(secret, now) {
            secret.expires_at = Some(now.seconds());
        }
    }
}

fn method_of(registration: &ClientRegistration) -> Option<TokenEndpointAuthMethod> {
    registration.token_endpoint_auth_method.as_deref().and_then(|text| text.parse().ok())
}

/// A secret of 256 random bits.
pub(super) fn generate(random: &dyn Random) -> Result<Secret<String>, RandomError> {
    let bytes = zeroize::Zeroizing::new(random::bytes::<32>(random)?);
    Ok(Secret::new(format!("{GENERATED_PREFIX}{}", base64url(*bytes))))
}

fn has_ended(secret: &SecretRecord, now: Timestamp) -> bool {
    secret.expires_at.is_some_and(|at| at <= now.seconds())
}

/// Keeps the youngest of the secrets that have ended. A client has one chosen secret, so that one which has ended goes
/// before another comes.
fn forget_ended(document: &mut ClientDocument, now: Timestamp, chosen_comes: bool) {
    let mut surplus =
        document.secrets.iter().filter(|secret| has_ended(secret, now)).count().saturating_sub(ENDED);
    document.secrets.retain(|secret| {
        let ended = has_ended(secret, now);
        let chosen = secret.hash.starts_with("$argon2id$");
        let forget = ended && (surplus > 0 || (chosen_comes && chosen));
        if forget {
            surplus = surplus.saturating_sub(1);
        }
        !forget
    });
}

fn info(secret: &SecretRecord, last_used_at: Option<Timestamp>) -> SecretInfo {
    SecretInfo {
        secret_id: secret.secret_id.clone(),
        created_at: Timestamp::from_seconds(secret.created_at),
        not_before: secret.not_before.map(Timestamp::from_seconds),
        expires_at: secret.expires_at.map(Timestamp::from_seconds),
        last_used_at,
    }
}
