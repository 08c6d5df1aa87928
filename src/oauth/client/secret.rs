//! Client secrets (RFC 6749 §2.3.1): hashed when registered, verified in time that tells nothing.
//!
//! A secret this project generated (`mint_` and 43 base64url characters) has 256 random bits: a keyed hash protects it,
//! at a microsecond. A secret somebody chose is protected by Argon2id and, once it has been verified, remembered under a
//! keyed hash, so that the second call costs a microsecond too.
//!
//! Which of the two happens depends on the form of what was *presented*, never on the client it was presented for: an
//! unknown client, a disabled one and a wrong secret cost the same work, and a stranger learns nothing from a clock.

use std::{fmt, net::IpAddr, time::Duration};

use argon2::{Params, Version, password_hash::phc::PasswordHash};
use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::engine::{Engine, general_purpose::STANDARD_NO_PAD};
use quick_cache::sync::Cache;

use self::sealed::Sealer;
use super::TokenEndpointAuthMethod;
use crate::{
    clock::Timestamp,
    jose::{base64url, base64url_decode},
    pool::{Pool, Refused},
    random::{self, Random, RandomError},
    secret::Secret,
};

mod argon2id;
mod sealed;

pub use self::{argon2id::Argon2idHash, sealed::SealedSecret};

/// What a generated secret starts with; 43 base64url characters follow.
pub const GENERATED_PREFIX: &str = "mint_";

/// How many verified secrets are remembered.
const REMEMBERED: usize = 16 * 1024;

/// What the text form of a keyed hash starts with.
const KEYED_TEXT: &str = "$hmac-sha256$";

/// What the text form of a sealed secret starts with.
const SEALED_TEXT: &str = "$sealed$";

/// How long a caller waits for its turn at Argon2id before it is told to come back.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// What is kept of one secret. Its `Debug` shows the kind alone.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretHash {
    /// A keyed hash of a generated secret, under the key of the [`SecretVerifier`] that made it.
    Keyed([u8; 32]),
    /// Argon2id (RFC 9106) of a secret somebody chose.
    Argon2id(Argon2idHash),
    /// The secret itself, sealed: client_secret_jwt cannot be verified with less. It is never compared with a secret that
    /// is sent.
    Sealed(SealedSecret),
}

/// In which form a secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretForm {
    /// As a hash, for what is sent with a request.
    Hashed,
    /// So that it can be read again, for client_secret_jwt.
    Sealed,
}

impl SecretForm {
    /// The form that a method of authentication needs.
    pub fn of(method: Option<TokenEndpointAuthMethod>) -> Self {
        match method {
            Some(TokenEndpointAuthMethod::ClientSecretJwt) => Self::Sealed,
            _ => Self::Hashed,
        }
    }
}

/// A secret of a client: its hash, and when it is accepted.
#[derive(Debug)]
pub struct ClientSecret {
    /// The hash.
    pub hash: SecretHash,
    /// Names it among the secrets of a client that the store keeps; configured ones have no name.
    pub secret_id: Option<String>,
    /// From when it is accepted; `None`: at once.
    pub not_before: Option<Timestamp>,
    /// From when it no longer is; `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl ClientSecret {
    /// A secret without a name that is always accepted.
    pub const fn of(hash: SecretHash) -> Self {
        Self { hash, secret_id: None, not_before: None, expires_at: None }
    }

    /// Whether it is accepted at this instant.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= now) && self.expires_at.is_none_or(|until| now < until)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keyed(_) => "Keyed(***)",
            Self::Argon2id(_) => "Argon2id(***)",
            Self::Sealed(_) => "Sealed(***)",
        })
    }
}

impl SecretHash {
    /// Reads a hash in PHC form, `$argon2id$v=19$m=...,t=...,p=...$salt$hash`, a keyed one, `$hmac-sha256$hash`, or a
    /// sealed secret, `$sealed$bytes`.
    ///
    /// # Errors
    /// A sentence that says what is wrong; it holds nothing of the hash.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(keyed) = text.strip_prefix(KEYED_TEXT) {
            let keyed = base64url_decode(keyed).and_then(|bytes| bytes.try_into().ok());
            return keyed
                .map(Self::Keyed)
                .ok_or_else(|| format!("a keyed hash is {KEYED_TEXT} and 43 base64url characters"));
        }
        if let Some(sealed) = text.strip_prefix(SEALED_TEXT) {
            let sealed = base64url_decode(sealed).and_then(SealedSecret::from_bytes);
            return sealed
                .map(Self::Sealed)
                .ok_or_else(|| format!("a sealed secret is {SEALED_TEXT} and base64url characters"));
        }
        let expected = "a hash has the form $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH with 32 bytes of hash";
        let phc = PasswordHash::new(text).map_err(|_| expected.to_owned())?;
        let (Some(salt), Some(output)) = (&phc.salt, &phc.hash) else { return Err(expected.to_owned()) };
        let output: [u8; 32] = output.as_ref().try_into().map_err(|_| expected.to_owned())?;
        if phc.algorithm.as_str() != "argon2id" || phc.version != Some(0x13) {
            return Err(expected.to_owned());
        }
        let params = Params::try_from(&phc).map_err(|_| expected.to_owned())?;
        // Another cost would let a clock tell this client from one that does not exist (V-22).
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        if cost(&params) != cost(&Params::DEFAULT) {
            let (memory, passes, lanes) = cost(&Params::DEFAULT);
            return Err(format!(
                "a hash must be made with m={memory},t={passes},p={lanes}, as every other one is"
            ));
        }
        let salt: &[u8] = salt.as_ref();
        Ok(Self::Argon2id(Argon2idHash { params: Params::DEFAULT, salt: salt.into(), output }))
    }

    /// The text that [`SecretHash::parse`] reads.
    pub fn to_text(&self) -> String {
        match self {
            Self::Keyed(hash) => format!("{KEYED_TEXT}{}", base64url(hash)),
            Self::Argon2id(Argon2idHash { params, salt, output }) => format!(
                "$argon2id$v={}$m={},t={},p={}${}${}",
                u32::from(Version::V0x13),
                params.m_cost(),
                params.t_cost(),
                params.p_cost(),
                STANDARD_NO_PAD.encode(salt),
                STANDARD_NO_PAD.encode(output),
            ),
            Self::Sealed(sealed) => format!("{SEALED_TEXT}{}", base64url(sealed.as_bytes())),
        }
    }

    /// What stands for a secret of this length where none is needed: nobody can authenticate with it.
    pub fn stand_in(secret: &Secret<String>, form: SecretForm) -> Self {
        match form {
            SecretForm::Hashed => Self::Keyed([0; 32]),
            SecretForm::Sealed => Self::Sealed(SealedSecret::stand_in(secret.expose().len())),
        }
    }

    /// The form it has.
    pub fn form(&self) -> SecretForm {
        match self {
            Self::Keyed(_) | Self::Argon2id(_) => SecretForm::Hashed,
            Self::Sealed(_) => SecretForm::Sealed,
        }
    }
}

/// Hashes and verifies secrets.
#[derive(Debug)]
pub struct SecretVerifier {
    /// Keys both the hashes of generated secrets and the memory of verified ones.
    key: hmac::Key,
    /// Keyed hashes of what was verified. A hash covers the stored form too, so that a client whose secret changes is
    /// forgotten without further ado.
    remembered: Cache<[u8; 32], ()>,
    /// Seals what must be read again.
    sealer: Sealer,
    /// Computes Argon2id; sources take turns, so that one who guesses waits for itself.
    argon2: Pool<IpAddr>,
    /// Stands in for the hash of a client that does not exist.
    decoy: Argon2idHash,
}

/// What became of a presented secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the secret whose hash stands at this place.
    Right(usize),
    /// It is not, or there is none to compare with.
    Wrong,
    /// It could not be checked without Argon2id, for which there was no turn in time.
    NoTurn(Refused),
    /// It could not be checked without Argon2id, and the toll was refused: come back after this time.
    NoToll(Duration),
}

impl SecretVerifier {
    /// A verifier with a fresh key: the keyed hashes it makes mean nothing to any other. See [`Self::with_key`].
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn new(random: &dyn Random, cores: usize) -> Result<Self, RandomError> {
        Self::with_key(&Secret::new(random::bytes::<32>(random)?), random, cores)
    }

    /// A verifier with the key that all replicas share, so that each understands the keyed hashes of the others. Argon2id
    /// gets at most half of `cores`, so that a flood of bad secrets leaves the rest to good callers.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn with_key(key: &Secret<[u8; 32]>, random: &dyn Random, cores: usize) -> Result<Self, RandomError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
        let derived = |purpose| derive(&key, purpose);
        let sealer = Sealer::new(&derived("sealed secrets"), &derived("nonces of sealed secrets"));
        Ok(Self {
            sealer: sealer.map_err(|_| RandomError)?,
            key,
            remembered: Cache::new(REMEMBERED),
            argon2: Pool::new("argon2id", cores / 2, LONGEST_WAIT),
            decoy: Argon2idHash {
                params: Params::DEFAULT,
                salt: Box::new(random::bytes::<16>(random)?),
                output: [0; 32],
            },
        })
    }

    /// The threads that compute Argon2id, in turns between sources.
    pub fn pool(&self) -> &Pool<IpAddr> {
        &self.argon2
    }

    /// Makes of a secret what is kept of it.
    ///
    /// # Errors
    /// As [`SecretVerifier::hash`].
    pub fn keep(
        &self,
        secret: &Secret<String>,
        form: SecretForm,
        random: &dyn Random,
    ) -> Result<SecretHash, String> {
        match form {
            SecretForm::Hashed => self.hash(secret, random),
            SecretForm::Sealed => {
                self.sealer.seal(secret).map(SecretHash::Sealed).map_err(|error| error.to_string())
            }
        }
    }

    /// The secret that was sealed; `None` when another server sealed it, with another store.
    pub(super) fn open(&self, sealed: &SealedSecret) -> Option<Secret<Vec<u8>>> {
        self.sealer.open(sealed)
    }

    /// Whether what is kept is this secret, sealed.
    pub fn is_sealed(&self, kept: &SecretHash, presented: &Secret<String>) -> bool {
        let SecretHash::Sealed(sealed) = kept else { return false };
        self.open(sealed).is_some_and(|secret| {
            verify_slices_are_equal(secret.expose(), presented.expose().as_bytes()).is_ok()
        })
    }

    /// Hashes a secret for keeping.
    ///
    /// # Errors
    /// A sentence without the secret, when the generator or Argon2id fails.
    pub fn hash(&self, secret: &Secret<String>, random: &dyn Random) -> Result<SecretHash, String> {
        if is_generated(secret.expose()) {
            return Ok(SecretHash::Keyed(self.keyed(b"generated", &[], secret)));
        }
        let salt = random::bytes::<16>(random).map_err(|error| error.to_string())?;
        Argon2idHash::make(secret, salt).map(SecretHash::Argon2id).map_err(|error| error.to_string())
    }

    /// Checks a presented secret against the hashes of a client, or against a decoy that no secret fits.
    ///
    /// Argon2id is computed once, whatever there is to compare with: of several chosen secrets only the first counts, and a
    /// registration has at most one.
    ///
    /// `toll` is asked before Argon2id is waited for or spent, and whoever drops the future afterwards has paid it. Callers
    /// who present the same secret for the same client at once share one computation and one toll.
    pub async fn verify(
        &self,
        hashes: &[&SecretHash],
        presented: &Secret<String>,
        source: IpAddr,
        toll: impl FnOnce() -> Result<(), Duration>,
    ) -> Verdict {
        if is_generated(presented.expose()) {
            return self.verify_generated(hashes, presented).map_or(Verdict::Wrong, Verdict::Right);
        }
        let chosen = hashes.iter().enumerate().find_map(|(place, hash)| match hash {
            SecretHash::Argon2id(hash) => Some((place, hash)),
            SecretHash::Keyed(_) | SecretHash::Sealed(_) => None,
        });
        let (place, hash) = chosen.unwrap_or((0, &self.decoy));
        let memory = self.memory(hash, presented);
        // Boxed, so that requests without a chosen secret do not take the memory of this.
        let computed = Box::pin(self.remembered.get_or_insert_async(&memory, async {
            toll().map_err(Verdict::NoToll)?;
            self.compute(hash, presented, source).await
        }));
        computed.await.map_or_else(|refused| refused, |()| Verdict::Right(place))
    }

    /// At which place the hash of a secret of generated form stands; a secret of another form has none.
    pub fn verify_generated(&self, hashes: &[&SecretHash], presented: &Secret<String>) -> Option<usize> {
        if !is_generated(presented.expose()) {
            return None;
        }
        let keyed = self.keyed(b"generated", &[], presented);
        let mut found = None;
        for (place, hash) in hashes.iter().enumerate() {
            // All zeros is no output of HMAC anybody could find, so the stand-in matches nothing.
            let expected = if let SecretHash::Keyed(expected) = hash { expected } else { &[0; 32] };
            if verify_slices_are_equal(&keyed, expected).is_ok() {
                found = Some(place);
            }
        }
        found
    }

    /// A key for another purpose, which all replicas derive alike.
    pub fn derive_key(&self, purpose: &str) -> [u8; 32] {
        derive(&self.key, purpose)
    }

    /// Waits for a turn at Argon2id and takes it.
    async fn compute(
        &self,
        hash: &Argon2idHash,
        presented: &Secret<String>,
        source: IpAddr,
    ) -> Result<(), Verdict> {
        let (hash, presented) = (hash.clone(), presented.clone());
        match self.argon2.run(&source, move || hash.verify(&presented)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Verdict::Wrong),
            Err(refused) => Err(Verdict::NoTurn(refused)),
        }
    }

    /// The key under which a verified secret is remembered.
    fn memory(&self, hash: &Argon2idHash, secret: &Secret<String>) -> [u8; 32] {
        self.keyed(b"remembered", &[&hash.salt, &hash.output], secret)
    }

    /// HMAC over the purpose, the context and the secret, each preceded by its length.
    fn keyed(&self, purpose: &[u8], context: &[&[u8]], secret: &Secret<String>) -> [u8; 32] {
        mac(&self.key, [purpose].iter().chain(context).chain([&secret.expose().as_bytes()]))
    }
}

fn derive(key: &hmac::Key, purpose: &str) -> [u8; 32] {
    mac(key, [b"derived", purpose.as_bytes(), b""].iter())
}

/// HMAC over several parts.
fn mac<'a>(key: &hmac::Key, parts: impl Iterator<Item = &'a &'a [u8]>) -> [u8; 32] {
    let mut mac = hmac::Context::with_key(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    let mut output = [0; 32];
    output.copy_from_slice(mac.sign().as_ref());
    output
}

/// Whether a text has the form of a secret this project generates. Anybody can see the form, so acting on it tells
/// nothing.
pub(super) fn is_generated(secret: &str) -> bool {
    secret.strip_prefix(GENERATED_PREFIX).is_some_and(|rest| {
        // Without a way out of the loop the compiler looks at many bytes at once; every secret is asked several times.
        let fits = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_');
        rest.len() == 43 && rest.bytes().fold(true, |all, byte| all & fits(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    const GENERATED: &str = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    const WAIT: Duration = Duration::from_secs(7);

    fn pay() -> Result<(), Duration> {
        Ok(())
    }

    fn refuse() -> Result<(), Duration> {
        Err(WAIT)
    }

    fn verifier() -> SecretVerifier {
        SecretVerifier::new(&SystemRandom, 2).unwrap()
    }

    #[tokio::test]
    async fn both_kinds_of_secret_verify() {
        let verifier = verifier();
        for (text, other) in
            [("chosen", "chosem"), (GENERATED, "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFg")]
        {
            let secret = Secret::from(text);
            let hash = verifier.hash(&secret, &SystemRandom).unwrap();
            assert_eq!(verifier.verify(&[&hash], &secret, HERE, pay).await, Verdict::Right(0));
            assert_eq!(verifier.verify(&[&hash], &Secret::from(other), HERE, pay).await, Verdict::Wrong);
            assert_eq!(verifier.verify(&[], &secret, HERE, pay).await, Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn every_generated_secret_counts_and_one_chosen() {
        const SECOND: &str = "mint_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
        let verifier = verifier();
        let hash = |text: &str| verifier.hash(&Secret::from(text), &SystemRandom).unwrap();
        let (first, second, chosen, late) = (hash(GENERATED), hash(SECOND), hash("chosen"), hash("late"));
        let hashes = [&first, &chosen, &second, &late];
        for (text, verdict) in [
            (GENERATED, Verdict::Right(0)),
            ("chosen", Verdict::Right(1)),
            (SECOND, Verdict::Right(2)),
            ("late", Verdict::Wrong),
        ] {
            assert_eq!(verifier.verify(&hashes, &Secret::from(text), HERE, pay).await, verdict, "{text}");
        }
    }

    #[tokio::test]
    async fn keyed_hashes_mean_something_under_their_key_alone() {
        let with = |byte| SecretVerifier::with_key(&Secret::new([byte; 32]), &SystemRandom, 2).unwrap();
        let secret = Secret::from(GENERATED);
        let text = with(1).hash(&secret, &SystemRandom).unwrap().to_text();
        let hash = SecretHash::parse(&text).unwrap();
        assert_eq!(with(1).verify(&[&hash], &secret, HERE, pay).await, Verdict::Right(0));
        assert_eq!(with(2).verify(&[&hash], &secret, HERE, pay).await, Verdict::Wrong);
    }

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        let verifier = verifier();
        for text in ["chosen", GENERATED] {
            let hash = verifier.hash(&Secret::from(text), &SystemRandom).unwrap();
            assert_eq!(SecretHash::parse(&hash.to_text()), Ok(hash));
        }
        let keyed = SecretHash::Keyed([7; 32]).to_text();
        for text in [&keyed[..keyed.len() - 1], &format!("{keyed}="), &format!("{keyed}A"), "$hmac-sha256$"] {
            assert!(SecretHash::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_usable_from_not_before_until_it_expires() {
        let at = Timestamp::from_seconds;
        let secret = ClientSecret {
            not_before: Some(at(10)),
            expires_at: Some(at(20)),
            ..ClientSecret::of(SecretHash::Keyed([0; 32]))
        };
        let usable = [9, 10, 19, 20].map(|now| secret.is_usable(at(now)));
        assert_eq!(usable, [false, true, true, false]);
    }

    // V-22
    #[tokio::test]
    async fn the_work_depends_on_what_was_presented_alone() {
        let verifier = verifier();
        let keyed = verifier.hash(&Secret::from(GENERATED), &SystemRandom).unwrap();
        let chosen = verifier.hash(&Secret::from("chosen"), &SystemRandom).unwrap();
        for hash in [&[][..], &[&keyed], &[&chosen], &[&keyed, &keyed, &chosen]] {
            // "No toll" shows that Argon2id would have been spent; "wrong" that it would not.
            assert_eq!(
                verifier.verify(hash, &Secret::from("guess"), HERE, refuse).await,
                Verdict::NoToll(WAIT)
            );
            let guess = Secret::from("mint_ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ");
            assert_eq!(verifier.verify(hash, &guess, HERE, refuse).await, Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn a_verified_secret_is_remembered_until_the_stored_hash_changes() {
        let verifier = verifier();
        let secret = Secret::from("chosen");
        let hash = verifier.hash(&secret, &SystemRandom).unwrap();
        assert_eq!(verifier.verify(&[&hash], &secret, HERE, refuse).await, Verdict::NoToll(WAIT));
        assert_eq!(verifier.verify(&[&hash], &secret, HERE, pay).await, Verdict::Right(0));
        assert_eq!(verifier.verify(&[&hash], &secret, HERE, refuse).await, Verdict::Right(0));
        let changed = verifier.hash(&Secret::from("other"), &SystemRandom).unwrap();
        assert_eq!(verifier.verify(&[&changed], &secret, HERE, pay).await, Verdict::Wrong);
        assert_eq!(verifier.verify(&[], &secret, HERE, pay).await, Verdict::Wrong);
    }

    #[test]
    fn a_hash_is_read_in_phc_form_within_bounds() {
        let parse = |params: &str| {
            SecretHash::parse(&format!(
                "$argon2id$v=19${params}$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
            ))
        };
        assert!(parse("m=19456,t=2,p=1").is_ok());
        for cost in ["m=1048576,t=2,p=1", "m=8,t=2,p=1", "m=19456,t=100,p=1", "m=19456,t=2,p=2"] {
            assert!(parse(cost).unwrap_err().contains("m=19456,t=2,p=1"), "{cost}");
        }
        for text in
            ["", "secret", "$2b$12$abcdefghijklmnopqrstuv", "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAA"]
        {
            assert!(SecretHash::parse(text).is_err(), "{text}");
        }
    }
}
