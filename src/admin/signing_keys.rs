//! Signing keys and their rotation (RFC 7517 §4.5 names keys, OpenID Connect Core 1.0 §10.1.1 the rollover).
//!
//! Every operation reads the keys, decides, and makes one write: it took place whole or not at all, wherever a process
//! stops. Of two replicas that act at once one gets a conflict, reads again and decides again, which mostly means to leave
//! what the other did.
//!
//! - `plan`: what to write, worked out from what was read
//! - [`status`]: what an operator sees of a key, which is nothing private

mod plan;
pub mod status;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

pub use plan::KeyStep;
use plan::{NewKey, Plan, View};
pub use status::KeyStatus;

use super::error::AdminError;
use crate::{
    clock::{Clock, Timestamp},
    jose::{SigningAlgorithm, SigningKey},
    oauth::{
        Keys,
        keys::sealing_context,
        store::{KeyRecord, KeyStore, KeyWrite, StoreError},
    },
    random::Random,
    sealing::{MasterKeys, Unopened},
};

/// How often a change that somebody else's got in the way of is decided anew.
const ATTEMPTS: usize = 8;

/// The context that a value of the store is sealed for, by its name.
pub fn value_context(name: &str) -> String {
    format!("sealed-value/{name}")
}

/// What this is built from.
pub struct Dependencies {
    /// Where keys are kept.
    pub store: Arc<dyn KeyStore>,
    /// What they are sealed under.
    pub master: Arc<MasterKeys>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes.
    pub random: Arc<dyn Random>,
    /// The keys of this process, which follow every change at once.
    pub keys: Arc<Keys>,
}

/// Manages the signing keys of the store.
pub struct SigningKeyAdmin {
    store: Arc<dyn KeyStore>,
    master: Arc<MasterKeys>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    keys: Arc<Keys>,
}

impl SigningKeyAdmin {
    /// Puts it together.
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies { store, master, clock, random, keys } = dependencies;
        Self { store, master, clock, random, keys }
    }

    /// Every key of the store, by algorithm and generation.
    ///
    /// # Errors
    /// [`AdminError::Unavailable`].
    pub async fn list(&self) -> Result<Vec<KeyStatus>, AdminError> {
        Ok(self.view(self.store.list().await?).statuses())
    }

    /// One key.
    ///
    /// # Errors
    /// [`AdminError::NotFound`] and [`AdminError::Unavailable`].
    pub async fn get(&self, kid: &str) -> Result<KeyStatus, AdminError> {
        self.list().await?.into_iter().find(|key| key.kid == kid).ok_or_else(|| plan::not_found(kid))
    }

    /// Makes sure that each of the algorithms has a key that signs, as when a server starts for the first time. Algorithms
    /// with a configured key need none.
    ///
    /// # Errors
    /// [`AdminError`]; what is missing is made when it is called again.
    pub async fn ensure(&self, algorithms: &[SigningAlgorithm]) -> Result<Vec<KeyStep>, AdminError> {
        let wanted: Vec<_> = algorithms
            .iter()
            .copied()
            .filter(|alg| !alg.is_symmetric() && !self.keys.is_configured(*alg))
            .collect();
        Ok(self.change(|view| Ok(view.ensure(&wanted))).await?.steps)
    }

    /// Does what is due: decides on the next key of an algorithm whose key has signed long enough, destroys private halves
    /// of which no token can be left, forgets keys that were destroyed long ago. To be called every minute or so, on every
    /// replica.
    ///
    /// # Errors
    /// [`AdminError`]; what was not done is still due.
    pub async fn tick(&self) -> Result<Vec<KeyStep>, AdminError> {
        let done = self.change(|view| Ok(view.due(|alg| !self.keys.is_configured(alg)))).await?;
        Ok(done.steps)
    }

    /// Makes a key that nobody learns of yet.
    ///
    /// # Errors
    /// [`AdminError::InvalidArgument`] for HS256, whose key is configured.
    pub async fn prepare(&self, alg: SigningAlgorithm) -> Result<KeyStatus, AdminError> {
        self.change(|view| view.prepare(alg)).await?.one()
    }

    /// Puts a prepared key into the key set.
    ///
    /// # Errors
    /// [`AdminError::NotFound`]; [`AdminError::FailedPrecondition`] for a key that was retired or revoked.
    pub async fn publish(&self, kid: &str) -> Result<KeyStatus, AdminError> {
        self.change(|view| view.publish(kid)).await?.one()
    }

    /// Decides when a key begins to sign, publishing it when it is not: as soon as every verifier knows it, or at an
    /// instant.
    ///
    /// # Errors
    /// [`AdminError::FailedPrecondition`] for a key whose time is over, and for an instant at which some verifier may not
    /// know the key yet, unless that is forced.
    pub async fn activate(
        &self,
        kid: &str,
        at: Option<Timestamp>,
        force: bool,
    ) -> Result<KeyStatus, AdminError> {
        self.change(|view| view.activate(kid, at, force)).await?.one()
    }

    /// Keeps a key from signing. What it signed stays valid.
    ///
    /// # Errors
    /// [`AdminError::FailedPrecondition`] for the key that signs now: another one has to take over.
    pub async fn retire(&self, kid: &str) -> Result<KeyStatus, AdminError> {
        self.change(|view| view.retire(kid)).await?.one()
    }

    /// Has the next key of an algorithm take over as soon as every verifier knows it, and returns it. A change that is
    /// decided already is left as it is.
    ///
    /// # Errors
    /// [`AdminError::InvalidArgument`] for HS256, [`AdminError::FailedPrecondition`] for a configured key.
    pub async fn rotate(&self, alg: SigningAlgorithm) -> Result<KeyStatus, AdminError> {
        if self.keys.is_configured(alg) {
            return Err(AdminError::FailedPrecondition(format!(
                "{alg} signs with a key from the configuration; replace the key file and restart the server"
            )));
        }
        self.change(|view| view.rotate(alg)).await?.one()
    }

    /// The same for several algorithms; for none named, for all that the store has a key for.
    ///
    /// # Errors
    /// As [`SigningKeyAdmin::rotate`]; those before the one that failed are rotated.
    pub async fn rotate_all(&self, algorithms: &[SigningAlgorithm]) -> Result<Vec<KeyStatus>, AdminError> {
        let mut algorithms = algorithms.to_vec();
        if algorithms.is_empty() {
            algorithms = self.list().await?.into_iter().map(|key| key.alg).collect();
            algorithms.dedup();
            algorithms.retain(|alg| !self.keys.is_configured(*alg));
        }
        let mut keys = Vec::with_capacity(algorithms.len());
        for alg in algorithms {
            keys.push(self.rotate(alg).await?);
        }
        Ok(keys)
    }

    /// Ends all trust in a key, as when it is compromised: at once it signs no more, is in the key set no more, its private
    /// half is destroyed and nothing it signed is accepted. When it is the one that signs, another takes over at once: the
    /// next one if it is published, since verifiers know it, else a new one. Returns the key, and the one that took over.
    ///
    /// # Errors
    /// [`AdminError::NotFound`]. Revoking a key again changes nothing.
    pub async fn revoke(&self, kid: &str) -> Result<(KeyStatus, Option<KeyStatus>), AdminError> {
        let mut done = self.change(|view| view.revoke(kid)).await?;
        let successor = done.keys.pop_if(|key| key.kid != kid);
        Ok((done.one()?, successor))
    }

    /// Seals under the first master key everything that is sealed under another. Returns how many values that were.
    ///
    /// # Errors
    /// [`AdminError::FailedPrecondition`] names what no master key opens; nothing was changed then.
    pub async fn reseal(&self) -> Result<usize, AdminError> {
        let keys = self.store.list().await?.into_iter().filter(|key| !key.sealed.is_empty());
        let keys = keys.map(|key| (key.kid, key.sealed)).collect();
        let keys = self.sealed_anew(keys, sealing_context)?;
        let values = self.sealed_anew(self.store.sealed_values().await?, value_context)?;
        let count = keys.len() + values.len();
        if count > 0 {
            self.store.reseal(&keys, &values).await?;
        }
        Ok(count)
    }

    fn sealed_anew(
        &self,
        values: Vec<(String, Vec<u8>)>,
        context: fn(&str) -> String,
    ) -> Result<Vec<(String, Vec<u8>)>, AdminError> {
        let old = values.into_iter().filter(|(_, sealed)| !self.master.is_current(sealed));
        old.map(|(name, sealed)| {
            let context = context(&name);
            let opened =
                self.master.open(&context, &sealed).map_err(|problem| unopened(&context, problem))?;
            let sealed = self.master.seal(&context, opened.expose(), &*self.random)?;
            Ok((name, sealed))
        })
        .collect()
    }

    /// Reads, decides, writes; anew when somebody else wrote in between.
    async fn change(
        &self,
        decide: impl Fn(&View) -> Result<Plan, AdminError> + Send,
    ) -> Result<Done, AdminError> {
        for _ in 0..ATTEMPTS {
            let view = self.view(self.store.list().await?);
            let plan = decide(&view)?;
            let changes_nothing = plan.changes_nothing();
            let Plan { add, update, remove, revoke, steps, about } = plan;
            let mut added = Vec::with_capacity(add.len());
            for new in add {
                added.push(self.make(new, &view).await?);
            }
            let mut kids = about;
            kids.extend(added.iter().map(|key| key.kid.clone()));
            let steps = steps.into_iter().chain(added.iter().map(plan::step_of_new)).collect();
            let records = view.after(&added, &update, &remove);
            if !changes_nothing {
                let writes: Vec<_> = update
                    .into_iter()
                    .map(KeyWrite::Update)
                    .chain(added.into_iter().map(KeyWrite::Add))
                    .chain(remove.into_iter().map(|kid| KeyWrite::Remove { kid }))
                    .collect();
                match self.store.write(&writes, &revoke).await {
                    Ok(_) => {}
                    // A key that somebody removed was destroyed; it is decided anew, like a conflict.
                    Err(StoreError::Conflict | StoreError::NotFound) => continue,
                    Err(error) => return Err(error.into()),
                }
                // When this fails, the change feed has the process read them a moment later.
                let _ = self.keys.reload(&*self.store, self.clock.now()).await;
            }
            let statuses = self.view(records).statuses();
            let keys = kids.iter().filter_map(|kid| statuses.iter().find(|key| key.kid == *kid).cloned());
            return Ok(Done { keys: keys.collect(), steps });
        }
        Err(AdminError::Aborted("the keys are being changed by others all the time; try again".to_owned()))
    }

    fn view(&self, records: Vec<KeyRecord>) -> View {
        let now = Timestamp::from_seconds(self.clock.now().seconds());
        View::new(records, *self.keys.timing(), now)
    }

    /// A new private key, sealed.
    async fn make(&self, new: NewKey, view: &View) -> Result<KeyRecord, AdminError> {
        let alg = new.alg;
        // An RSA key takes a tenth of a second and more.
        let made = tokio::task::spawn_blocking(move || {
            let der = SigningKey::generate_pkcs8(alg)?;
            let kid = SigningKey::from_pkcs8(alg, &der)?.kid().to_owned();
            Ok::<_, crate::jose::verification_key::InvalidKey>((kid, der))
        });
        let (kid, der) = made
            .await
            .map_err(|error| AdminError::Internal(error.to_string()))?
            .map_err(|error| AdminError::Internal(error.to_string()))?;
        let sealed = self.master.seal(&sealing_context(&kid), der.expose(), &*self.random)?;
        Ok(KeyRecord {
            kid,
            alg,
            generation: new.generation,
            sealed,
            created_at: view.now(),
            publish_at: new.publish_at,
            activate_at: new.activate_at,
            retired_at: None,
            revoked_at: None,
            destroyed_at: None,
            revision: 1,
        })
    }
}

impl fmt::Debug for SigningKeyAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyAdmin").finish_non_exhaustive()
    }
}

/// What a change did: the keys it was about, and the steps to be logged.
struct Done {
    keys: Vec<KeyStatus>,
    steps: Vec<KeyStep>,
}

impl Done {
    fn one(mut self) -> Result<KeyStatus, AdminError> {
        self.keys.pop().ok_or_else(|| AdminError::Internal("a change was about no key".to_owned()))
    }
}

fn unopened(context: &str, problem: Unopened) -> AdminError {
    AdminError::FailedPrecondition(format!("{context} does not open: {problem}"))
}
