//! LISTEN/NOTIFY (PostgreSQL): tells that there is something new before the next poll would find it. Nothing depends on it,
//! and it is never used for a token (V-70).

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::{
    AsyncMessage, Config, Socket,
    tls::{MakeTlsConnect, TlsConnect},
};

/// The name of the channel.
pub(super) const CHANNEL: &str = "mintage_changes";

/// Rung when there is something new.
pub(super) type Hint = Arc<Notify>;

const RECONNECT: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(60);

/// A connection of its own that listens, and comes back by itself.
#[derive(Debug)]
pub(super) struct Listener(JoinHandle<()>);

impl Listener {
    pub(super) fn start<T>(config: Config, tls: T, hint: &Hint) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let hint = hint.clone();
        Self(tokio::spawn(async move {
            loop {
                // Why it ended does not matter: polling goes on, and whoever polls reports that the database is away.
                let _ = listen(&config, tls.clone(), &hint).await;
                sleep(RECONNECT).await;
            }
        }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens until the connection ends or is silent for so long that it may be dead without anybody having noticed.
async fn listen<T>(config: &Config, tls: T, hint: &Notify) -> Option<()>
where
    T: MakeTlsConnect<Socket>,
{
    let (client, mut connection) = timeout(CONNECT, config.connect(tls)).await.ok()?.ok()?;
    let command = format!("LISTEN {CHANNEL}");
    let mut command = pin!(client.batch_execute(&command));
    let mut is_listening = false;
    loop {
        // The connection makes progress only while it is polled, also for the command.
        let message = poll_fn(|context| {
            if !is_listening && let Poll::Ready(result) = command.as_mut().poll(context) {
                is_listening = true;
                // What came while nobody listened.
                hint.notify_one();
                if result.is_err() {
                    return Poll::Ready(None);
                }
            }
            connection.poll_message(context)
        });
        if let AsyncMessage::Notification(_) = timeout(SILENCE, message).await.ok()??.ok()? {
            hint.notify_one();
        }
    }
}
