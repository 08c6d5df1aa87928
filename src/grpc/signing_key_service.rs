//! `mintage.admin.v1.SigningKeyService`: each method checks the token of the call, converts, calls and converts back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{admin_auth::method, client_messages::to_instant, pb::admin as pb, time::to_pb_timestamp};
use crate::{
    admin::{AdminError, SigningKeyAdmin, signing_keys::KeyStatus},
    jose::{KeyState, SigningAlgorithm},
    oauth::AuthorizationServer,
};

/// The service, over the core.
#[derive(Debug)]
pub(super) struct SigningKeyService {
    server: Arc<AuthorizationServer>,
    keys: Arc<SigningKeyAdmin>,
}

impl SigningKeyService {
    pub(super) fn new(server: Arc<AuthorizationServer>, keys: Arc<SigningKeyAdmin>) -> Self {
        Self { server, keys }
    }
}

#[tonic::async_trait]
impl pb::signing_key_service_server::SigningKeyService for SigningKeyService {
    async fn get_signing_key(
        &self,
        request: Request<pb::GetSigningKeyRequest>,
    ) -> Result<Response<pb::GetSigningKeyResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "GetSigningKey",
            Read,
            |message| {
                pb::GetSigningKeyResponse { signing_key: Some(to_pb(&self.keys.get(&message.kid).await?)) }
            }
        )
    }

    async fn list_signing_keys(
        &self,
        request: Request<pb::ListSigningKeysRequest>,
    ) -> Result<Response<pb::ListSigningKeysResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "ListSigningKeys",
            Read,
            |message| {
                let alg = if message.alg.is_empty() { None } else { Some(algorithm("alg", &message.alg)?) };
                let keys = self.keys.list().await?;
                let wanted = keys.iter().filter(|key| alg.is_none_or(|alg| key.alg == alg));
                pb::ListSigningKeysResponse { signing_keys: wanted.map(to_pb).collect() }
            }
        )
    }

    async fn prepare_signing_key(
        &self,
        request: Request<pb::PrepareSigningKeyRequest>,
    ) -> Result<Response<pb::PrepareSigningKeyResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "PrepareSigningKey",
            Write,
            |message| {
                let key = self.keys.prepare(algorithm("alg", &message.alg)?).await?;
                pb::PrepareSigningKeyResponse { signing_key: Some(to_pb(&key)) }
            }
        )
    }

    async fn publish_signing_key(
        &self,
        request: Request<pb::PublishSigningKeyRequest>,
    ) -> Result<Response<pb::PublishSigningKeyResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "PublishSigningKey",
            Write,
            |message| {
                let key = self.keys.publish(&message.kid).await?;
                pb::PublishSigningKeyResponse { signing_key: Some(to_pb(&key)) }
            }
        )
    }

    async fn activate_signing_key(
        &self,
        request: Request<pb::ActivateSigningKeyRequest>,
    ) -> Result<Response<pb::ActivateSigningKeyResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "ActivateSigningKey",
            Write,
            |message| {
                let at = to_instant("activate_time", message.activate_time)?;
                let key = self.keys.activate(&message.kid, at, message.force).await?;
                pb::ActivateSigningKeyResponse { signing_key: Some(to_pb(&key)) }
            }
        )
    }

    async fn retire_signing_key(
        &self,
        request: Request<pb::RetireSigningKeyRequest>,
    ) -> Result<Response<pb::RetireSigningKeyResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "RetireSigningKey",
            Write,
            |message| {
                let key = self.keys.retire(&message.kid).await?;
                pb::RetireSigningKeyResponse { signing_key: Some(to_pb(&key)) }
            }
        )
    }

    async fn rotate_signing_keys(
        &self,
        request: Request<pb::RotateSigningKeysRequest>,
    ) -> Result<Response<pb::RotateSigningKeysResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "RotateSigningKeys",
            Write,
            |message| {
                let named = message.algs.iter().map(|alg| algorithm("algs", alg));
                let algorithms = named.collect::<Result<Vec<_>, _>>()?;
                let keys = self.keys.rotate_all(&algorithms).await?;
                pb::RotateSigningKeysResponse { signing_keys: keys.iter().map(to_pb).collect() }
            }
        )
    }

    async fn revoke_signing_key(
        &self,
        request: Request<pb::RevokeSigningKeyRequest>,
    ) -> Result<Response<pb::RevokeSigningKeyResponse>, Status> {
        method!(
            self,
            request,
            pb::signing_key_service_server::SERVICE_NAME,
            "RevokeSigningKey",
            Write,
            |message| {
                let (key, successor) = self.keys.revoke(&message.kid).await?;
                pb::RevokeSigningKeyResponse {
                    signing_key: Some(to_pb(&key)),
                    successor: successor.as_ref().map(to_pb),
                }
            }
        )
    }
}

fn algorithm(member: &'static str, text: &str) -> Result<SigningAlgorithm, AdminError> {
    text.parse().map_err(|_| AdminError::invalid(member, "it must be RS256, PS256, ES256, ES384 or EdDSA"))
}

/// A key as it is told: nothing of it is private (V-73).
fn to_pb(key: &KeyStatus) -> pb::SigningKey {
    let state = match key.state {
        KeyState::Prepared => pb::SigningKeyState::Prepared,
        KeyState::Published => pb::SigningKeyState::Published,
        KeyState::Active => pb::SigningKeyState::Active,
        KeyState::Retired => pb::SigningKeyState::Retired,
        KeyState::Destroyed => pb::SigningKeyState::Destroyed,
        KeyState::Revoked => pb::SigningKeyState::Revoked,
    };
    pb::SigningKey {
        kid: key.kid.clone(),
        alg: key.alg.as_str().to_owned(),
        generation: i64::try_from(key.generation).unwrap_or(i64::MAX),
        state: state.into(),
        create_time: Some(to_pb_timestamp(key.created_at)),
        publish_time: key.published_from.map(to_pb_timestamp),
        activate_time: key.active_from.map(to_pb_timestamp),
        retire_time: key.retired_from.map(to_pb_timestamp),
        unpublish_time: key.unpublished_from.map(to_pb_timestamp),
        revoke_time: key.revoked_at.map(to_pb_timestamp),
        destroy_time: key.destroyed_at.map(to_pb_timestamp),
    }
}
