//! Streams of responses: how many there may be, and how each of them ends.
//!
//! A stream is a task that makes one message at a time. It waits for the caller to take it, up to a bound, and so buffers
//! next to nothing.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::timeout,
};
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::error;
use crate::{
    oauth::Error,
    quota::{Held, Quota},
    refusal::RefusalReason,
};

/// How long a caller may leave a message untaken.
const SLOW_READER: Duration = Duration::from_secs(10);

/// When a caller who found no place should come back.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// What a stream ends with that the caller should begin again, and when.
const AGAIN: &str = "temporarily_unavailable";
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The places of one method, and word of the end.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    places: Arc<Semaphore>,
    per_source: usize,
    sources: Arc<Quota>,
    patience: Duration,
    ending: watch::Receiver<bool>,
}

impl Streams {
    /// So many streams at once, until `ending` says true. One address has no more than half of them, so that nobody takes all.
    pub(super) fn new(count: usize, ending: watch::Receiver<bool>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(count)),
            per_source: count.div_ceil(2),
            sources: Arc::default(),
            patience: SLOW_READER,
            ending,
        }
    }

    /// A place for a stream to this source address.
    ///
    /// # Errors
    /// [`Error::Busy`].
    pub(super) fn place(&self, source: IpAddr) -> Result<Place, Error> {
        let busy = |reason| Error::Busy { reason, retry_after: FULL_RETRY };
        let permit = Arc::clone(&self.places).try_acquire_owned();
        let permit = permit.map_err(|_| busy(RefusalReason::QueueFull))?;
        let held = self.sources.take(source, self.per_source).ok_or(busy(RefusalReason::OwnShare))?;
        Ok(Place { permit, held, patience: self.patience, ending: self.ending.clone() })
    }
}

/// A place for one stream.
#[derive(Debug)]
pub(super) struct Place {
    permit: OwnedSemaphorePermit,
    held: Held,
    patience: Duration,
    ending: watch::Receiver<bool>,
}

impl Place {
    /// Runs what makes the messages of a stream: until it says why it ends, the caller is gone or too slow, or the server
    /// shuts down.
    pub(super) fn run<T, F, Fut>(self, make: F) -> Messages<T>
    where
        T: Send + 'static,
        F: FnOnce(Outlet<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Ended> + Send + 'static,
    {
        let Self { permit, held, patience, mut ending } = self;
        let (sender, messages) = mpsc::channel(1);
        let (tell, end) = oneshot::channel();
        let gone = sender.clone();
        tokio::spawn(async move {
            let _place = (permit, held);
            let ended = tokio::select! {
                ended = make(Outlet { sender, patience }) => ended,
                () = gone.closed() => Ended::CallerGone,
                Ok(_) = ending.wait_for(|ending| *ending) => Ended::Status(shutting_down()),
            };
            if let Ended::Status(status) = ended {
                let _ = tell.send(status);
            }
        });
        Messages { messages, end: Some(end) }
    }
}

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody is left to be told.
    CallerGone,
    /// With this status.
    Status(Status),
}

/// Where a stream's messages go.
pub(super) struct Outlet<T> {
    sender: mpsc::Sender<T>,
    patience: Duration,
}

impl<T> Outlet<T> {
    /// Hands a message over.
    ///
    /// # Errors
    /// Why the stream is over: the caller is gone or does not read.
    pub(super) async fn send(&self, message: T) -> Result<(), Ended> {
        match timeout(self.patience, self.sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::CallerGone),
            Err(_) => {
                let message = "the messages of this stream were not read in time; call again";
                Err(Ended::Status(error::explained(Code::Aborted, AGAIN, message, Some(AGAIN_AFTER))))
            }
        }
    }
}

/// The messages of a stream, then its status.
#[derive(Debug)]
pub(super) struct Messages<T> {
    messages: mpsc::Receiver<T>,
    end: Option<oneshot::Receiver<Status>>,
}

impl<T> Stream for Messages<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = ready!(self.messages.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(message)));
        }
        let Some(end) = self.end.as_mut() else { return Poll::Ready(None) };
        let status = ready!(Pin::new(end).poll(cx)).ok();
        self.end = None;
        Poll::Ready(status.map(Err))
    }
}

pub(super) fn shutting_down() -> Status {
    let message = "the server is shutting down; call again";
    error::explained(Code::Unavailable, AGAIN, message, Some(AGAIN_AFTER))
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;
    use tonic_types::StatusExt;

    use super::*;

    fn streams(count: usize) -> (Streams, watch::Sender<bool>) {
        let (sender, ending) = watch::channel(false);
        (Streams::new(count, ending), sender)
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn numbers(outlet: Outlet<u32>) -> Ended {
        for number in 0.. {
            if let Err(ended) = outlet.send(number).await {
                return ended;
            }
        }
        Ended::CallerGone
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let (streams, _sender) = streams(1);
        let is_full =
            || matches!(streams.place(HERE), Err(Error::Busy { reason: RefusalReason::QueueFull, .. }));
        let mut messages = streams.place(HERE).unwrap().run(numbers);
        assert_eq!(messages.next().await.unwrap().unwrap(), 0);
        assert!(is_full());
        drop(messages);
        while streams.place(HERE).is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_address_has_half_of_the_places() {
        let (streams, _sender) = streams(4);
        let run = |source| Ok::<_, Error>(streams.place(source)?.run(numbers));
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        let _own = [run(HERE).unwrap(), run(HERE).unwrap()];
        assert!(matches!(run(HERE), Err(Error::Busy { reason: RefusalReason::OwnShare, .. })));
        let others = [run(elsewhere).unwrap(), run(elsewhere).unwrap()];
        let third = IpAddr::from([192, 0, 2, 2]);
        assert!(matches!(run(third), Err(Error::Busy { reason: RefusalReason::QueueFull, .. })));
        drop(others);
        while run(third).is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_does_not_read_is_dropped() {
        let (mut streams, _sender) = streams(1);
        streams.patience = Duration::from_millis(1);
        let mut messages = streams.place(HERE).unwrap().run(numbers);
        // The place is free before the caller notices.
        while streams.place(HERE).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(messages.next().await.unwrap().unwrap(), 0);
        assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::Aborted);
        assert!(messages.next().await.is_none());
    }

    #[tokio::test]
    async fn streams_end_with_the_server() {
        let (streams, sender) = streams(4);
        let silent = || streams.place(HERE).unwrap().run(|_: Outlet<u32>| std::future::pending::<Ended>());
        let before = silent();
        sender.send_replace(true);
        for mut messages in [before, silent()] {
            let status = messages.next().await.unwrap().unwrap_err();
            assert_eq!(status.code(), Code::Unavailable);
            assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(AGAIN_AFTER));
            assert!(messages.next().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_status() {
        let (streams, _sender) = streams(1);
        let mut messages = streams
            .place(HERE)
            .unwrap()
            .run(|_: Outlet<u32>| async { Ended::Status(Status::permission_denied("no longer")) });
        assert_eq!(messages.next().await.unwrap().unwrap_err().code(), Code::PermissionDenied);
    }
}
