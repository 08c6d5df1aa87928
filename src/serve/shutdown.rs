//! The end of the service: running, then leaving, then draining, then forced.
//!
//! After the first SIGTERM or SIGINT readiness is off, and for a while all is served as before, so that balancers can notice;
//! only that an HTTP/1 connection ends with its next answer. Then it drains: listeners close, connections finish what they
//! have begun. A second signal forces: everything still open is dropped at once. Either way the process ends well (exit
//! code 0).

use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::sleep,
};

/// How far the end has come; it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are welcome.
    Running,
    /// They are welcome still, but it is no longer ready for those that could go elsewhere.
    Leaving,
    /// What has begun is finished; nothing new is taken on.
    Draining,
    /// Nothing is waited for.
    Forced,
}

/// A handle on the end of the service; clones share it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
    /// Whether it is on its way, for who asks with every request.
    leaving: Arc<AtomicBool>,
}

impl Shutdown {
    /// A service that is running.
    pub fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running), leaving: Arc::default() }
    }

    /// How far the end has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether nothing new is taken on.
    pub fn is_draining(&self) -> bool {
        self.phase() >= Phase::Draining
    }

    /// Whether the service is no longer ready.
    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Says that a graceful end is to come.
    pub fn leave(&self) {
        self.advance(Phase::Leaving);
    }

    /// Asks for a graceful end.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Asks for an immediate end.
    pub fn force(&self) {
        self.advance(Phase::Forced);
    }

    /// Waits until the service is no longer ready; at once if it is not.
    pub async fn leaving(&self) {
        self.reached(Phase::Leaving).await;
    }

    /// Waits until the service drains or is forced to end; at once if it is.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until the service is forced to end; at once if it is.
    pub async fn forced(&self) {
        self.reached(Phase::Forced).await;
    }

    /// From now on, in the background, the first SIGTERM or SIGINT drains after this delay and the second forces.
    ///
    /// # Errors
    ///
    /// When the operating system refuses a signal handler.
    pub fn on_signals(&self, delay: Duration) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = either(&mut terminate, &mut interrupt).await;
            tracing::info!(signal = name, ?delay, "draining; a second signal ends at once");
            shutdown.leave();
            let drain = async {
                sleep(delay).await;
                shutdown.drain();
                pending::<Infallible>().await
            };
            let name = tokio::select! {
                name = either(&mut terminate, &mut interrupt) => name,
                never = drain => match never {},
            };
            tracing::warn!(signal = name, "ending at once");
            shutdown.force();
        });
        Ok(())
    }

    fn advance(&self, to: Phase) {
        self.leaving.store(true, Ordering::Relaxed);
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
    }

    async fn reached(&self, phase: Phase) {
        // An error means that every sender is gone, but `self` is one.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, Shutdown};

    #[tokio::test]
    async fn phases_only_advance() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.is_draining());
        shutdown.drain();
        shutdown.draining().await;
        assert!(shutdown.is_draining());
        shutdown.force();
        shutdown.drain();
        shutdown.forced().await;
        assert_eq!(shutdown.phase(), Phase::Forced);
    }
}
