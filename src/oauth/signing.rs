//! Signing in turn: what takes long is signed on threads of its own, shared fairly between clients.

use std::sync::Arc;

use super::{authorization_server::AuthorizationServer, client::ClientId, error::Error};
use crate::{
    jose::{SigningKey, private_key::SigningError},
    pool::{Pool, Refused},
    refusal::RefusalReason,
};

/// The threads that sign for clients.
pub type SigningPool = Pool<ClientId>;

impl AuthorizationServer {
    /// Signs for a client: at once when that is quick, else when its turn comes.
    ///
    /// # Errors
    /// Those of [`Refused`]; [`Error::ServerError`] when the key does not sign.
    pub(super) async fn sign_in_turn(
        &self,
        key: Arc<SigningKey>,
        client_id: &ClientId,
        sign: impl FnOnce(&SigningKey) -> Result<String, SigningError> + Send + 'static,
    ) -> Result<String, Error> {
        let signed = if key.alg().is_expensive() {
            self.signing_pool.run(client_id, move || sign(&key)).await?
        } else {
            sign(&key)
        };
        signed.map_err(|error| Error::ServerError(error.to_string()))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::OwnShare { retry_after } => {
                Self::RateLimited { reason: RefusalReason::OwnShare, retry_after }
            }
            Refused::Full { retry_after } => Self::Busy { reason: RefusalReason::QueueFull, retry_after },
            Refused::Late { retry_after } => Self::Busy { reason: RefusalReason::WaitedTooLong, retry_after },
            Refused::Broken => Self::ServerError("a job of a pool was not done to its end".to_owned()),
        }
    }
}
