//! SIGHUP reads the configuration again and replaces the clients as a whole, or keeps the old ones and says why (F-30).

use std::{io, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Config, ConfigErrors},
    oauth::client::{Client, ClientDirectory, secret::SecretVerifier},
    random::SystemRandom,
};

/// From now on, in the background, every SIGHUP reloads the clients of `config`'s sources.
pub(super) fn on_hangup(
    config: Config,
    directory: Arc<ClientDirectory>,
    secrets: Arc<SecretVerifier>,
) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let config = Arc::new(config);
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let (config, secrets) = (Arc::clone(&config), Arc::clone(&secrets));
            // Reading files and Argon2id block; requests go on meanwhile.
            match tokio::task::spawn_blocking(move || read_clients(&config, &secrets)).await {
                Ok(Ok(clients)) => {
                    let count = clients.len();
                    directory.replace(clients);
                    tracing::info!(clients = count, "the clients were reloaded; other settings need a restart");
                }
                Ok(Err(errors)) => {
                    tracing::error!(%errors, "the configuration was refused and the old clients stay in use");
                }
                Err(error) => tracing::error!(%error, "the reload failed and the old clients stay in use"),
            }
        }
    });
    Ok(())
}

fn read_clients(config: &Config, secrets: &SecretVerifier) -> Result<Vec<Client>, ConfigErrors> {
    config.reload()?.clients(|secret| secrets.hash(secret, &SystemRandom))
}
