//! SIGHUP reads the configuration again and replaces the clients as a whole, or keeps the old ones and says why (F-30).

use std::{io, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

use super::Core;
use crate::config::Config;

/// From now on, in the background, every SIGHUP reloads the clients of `config`'s sources.
pub(super) fn on_hangup(config: Config, core: Arc<Core>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let shared = Arc::new((config, core));
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let shared = Arc::clone(&shared);
            // Reading files and Argon2id block; requests go on meanwhile.
            match tokio::task::spawn_blocking(move || shared.1.reload(&shared.0)).await {
                Ok(Ok(clients)) => {
                    tracing::info!(clients, "the clients were reloaded; other settings need a restart");
                }
                Ok(Err(error)) => {
                    tracing::error!(%error, "the configuration was refused and the old clients stay in use");
                }
                Err(error) => tracing::error!(%error, "the reload failed and the old clients stay in use"),
            }
        }
    });
    Ok(())
}
