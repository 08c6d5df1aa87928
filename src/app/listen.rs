//! A server from its first socket to its end: both listeners, what goes on beside them, and the order in which it all stops.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use tokio::net::TcpListener;

use super::{
    Core, StartError, descriptors, figures, follow, memory, overload, proxy, reload,
    tls::{self, PublicTls},
    watch,
};
use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    readiness::Readiness,
    serve::{self, Limits, Shutdown},
    telemetry::{LogQueue, Metrics, Telemetry},
};

/// How long the last writes may take.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);

/// How long requests to the ops listener may take to end once the public one has: both together in less than 10 s.
const OPS_DRAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Serves on both listeners until a signal ends it, then returns.
pub(super) async fn until_signal(config: Config, mut core: Core, log: LogQueue) -> Result<(), StartError> {
    let shutdown = Shutdown::new();
    shutdown.on_signals(config.limits.shutdown_delay)?;
    let readiness = Readiness::default();
    let started = std::time::UNIX_EPOCH + SystemClock.now().since(crate::clock::Timestamp::from_seconds(0));
    let telemetry = Telemetry::new(Metrics::new(env!("CARGO_PKG_VERSION"), started));
    telemetry.metrics().read_log(log);

    let (routes, health) = core.routes(&config, &readiness)?;
    let ops_routes = core.ops_routes(&config, telemetry.metrics().clone(), &readiness, &health)?;

    let public = listen("listen", config.listen).await?;
    let address = public.local_addr()?;
    let tls = tls::open(&config, address.port(), Arc::new(SystemClock), telemetry.metrics())?;
    let ops = listen_ops(&config).await?;
    let limits = Limits {
        max_connections: memory::connections(
            descriptors::connections(config.limits.max_connections),
            config.limits.max_header_bytes,
        ),
        max_connections_per_source: config.limits.max_connections_per_source,
        max_header_bytes: u32::try_from(config.limits.max_header_bytes).unwrap_or(u32::MAX),
        ..Limits::default()
    };
    let ops_limits = Limits {
        max_connections: descriptors::OPS_CONNECTIONS,
        max_connections_per_source: None,
        drain: OPS_DRAIN,
        ..limits.clone()
    };
    announce(&config, address, ops.as_ref().map(TcpListener::local_addr).transpose()?, &tls);
    let mut watched = std::mem::take(&mut core.watched);
    let core = Arc::new(core);
    let mut beside = follow(&core, &config, &readiness, telemetry.metrics());
    let (public, files, dev_authority) = tls.on(public);
    let (public, guard) = overload::guard(&config, &core, proxy::behind(&config, public));
    figures::read_guard(&guard, telemetry.metrics());
    beside.spawn(guard.watch());
    watched.extend(files);
    beside.spawn(watch::watch(watched, telemetry.metrics().clone(), watch::INTERVAL));
    let snapshot_file = config.store.snapshot_file.clone();
    reload::on_hangup(config, Arc::clone(&core))?;

    readiness.set(true);
    health.set_serving(true).await;
    let leave = async {
        shutdown.leaving().await;
        readiness.set(false);
        health.set_serving(false).await;
        shutdown.draining().await;
        health.end_streams();
    };
    // Whoever watches the server sees it to its end.
    let ops_shutdown = Shutdown::new();
    let serve_public = async {
        serve::serve(public, routes, limits, telemetry.clone(), shutdown.clone()).await;
        ops_shutdown.drain();
    };
    let serve_ops = async {
        if let Some(ops) = ops {
            serve::serve(ops, ops_routes, ops_limits, telemetry.clone(), ops_shutdown.clone()).await;
        }
    };
    tokio::join!(leave, serve_public, serve_ops);
    drop((beside, dev_authority));
    // A store that is away does not hold up the end.
    let _ = tokio::time::timeout(FAREWELL, farewell(&core, snapshot_file.as_deref())).await;
    tracing::info!("stopped");
    Ok(())
}

/// What the next start is glad of.
async fn farewell(core: &Core, snapshot_file: Option<&Path>) {
    if core.replica.freshness.is_failing() {
        return;
    }
    if let Err(error) = core.replica.flush_uses().await {
        tracing::warn!(%error, "uses of secrets were not written");
    }
    if let Some(file) = snapshot_file
        && let Err(error) = core.save_snapshot(file).await
    {
        tracing::warn!(%error, "the snapshot was not written");
    }
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { setting, address, source })
}

/// The ops listener. A second `--dev` server on one machine does without it rather than not start.
async fn listen_ops(config: &Config) -> Result<Option<TcpListener>, StartError> {
    match listen("ops_listen", config.ops_listen).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if config.dev => {
            tracing::warn!(%error, "--dev: metrics are not served; set MINTAGE_OPS_LISTEN to a free address");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What is no log record: a line that says where the server is and what it is and, with `--dev --tls`, how to reach it.
fn announce(config: &Config, listen: SocketAddr, ops: Option<SocketAddr>, tls: &PublicTls) {
    let version = env!("CARGO_PKG_VERSION");
    let ops = ops.map(|ops| format!(" and http://{ops} (ops)")).unwrap_or_default();
    let scheme = tls.scheme();
    let mut text = format!(
        "mintage {version} listens on {scheme}://{listen} (REST and gRPC){ops}, issuer {}, store {}\n",
        config.issuer, config.store.location
    );
    if let Some(ca_file) = tls.made_authority() {
        // The first request, to be copied as it is.
        text += &format!(
            "curl --cacert {} -u m2m-client:m2m-secret -d grant_type=client_credentials https://localhost:{}/token\n",
            ca_file.display(),
            listen.port()
        );
    }
    // A closed stdout is no reason not to serve.
    let _ = io::stdout().write_all(text.as_bytes());
}
