//! One message per unary call (gRPC over HTTP/2).
//!
//! tonic reads the first message of a unary call and then skips the rest, however long that goes on: two parties could
//! read different requests from one call, and a caller could send for ever. Here a second message is an error.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Status, server::NamedService};
use tower::Service;

/// The prefix of a message: a flag and the length.
const PREFIX: usize = 5;

/// A service all of whose methods are unary.
#[derive(Clone, Debug)]
pub(super) struct Unary<S>(pub(super) S);

impl<S: NamedService> NamedService for Unary<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<tonic::body::Body>> for Unary<S>
where
    S: Service<Request<OneMessage>, Response = Response<tonic::body::Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> S::Future {
        self.0.call(request.map(|body| OneMessage { body, rest: Rest::Prefix { read: 0, length: 0 } }))
    }
}

/// A request body that holds at most one message.
#[derive(Debug)]
pub(super) struct OneMessage {
    body: tonic::body::Body,
    rest: Rest,
}

/// What is still to come of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Prefix { read: usize, length: u32 },
    Message(usize),
}

impl Rest {
    /// What is still to come after these bytes; `None` when they go beyond the message.
    fn after(mut self, mut bytes: &[u8]) -> Option<Self> {
        while let (Self::Prefix { read, length }, [byte, more @ ..]) = (self, bytes) {
            // The first byte is the flag; the length follows, big-endian.
            let length = if read == 0 { 0 } else { length << 8 | u32::from(*byte) };
            let read = read + 1;
            bytes = more;
            self = if read == PREFIX {
                Self::Message(usize::try_from(length).unwrap_or(usize::MAX))
            } else {
                Self::Prefix { read, length }
            };
        }
        match self {
            Self::Message(left) => left.checked_sub(bytes.len()).map(Self::Message),
            Self::Prefix { .. } => Some(self),
        }
    }
}

impl Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else { return Poll::Ready(None) };
        if let Some(data) = frame.data_ref() {
            let Some(rest) = self.rest.after(data) else {
                return Poll::Ready(Some(Err(Status::internal("a unary call has one message"))));
            };
            self.rest = rest;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Rest = Rest::Prefix { read: 0, length: 0 };

    #[test]
    fn a_message_ends_where_its_length_says() {
        assert_eq!(START.after(&[0, 0, 0, 1, 2]), Some(Rest::Message(258)));
        assert_eq!(START.after(&[1, 0, 0, 0, 2, 7, 7]), Some(Rest::Message(0)));
        assert_eq!(START.after(&[0, 0, 0, 0, 2, 7, 7, 0]), None);
        assert_eq!(START.after(&[0, 0, 0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_makes_no_difference(
            message in prop::collection::vec(any::<u8>(), 0..40),
            more in prop::collection::vec(any::<u8>(), 0..3),
            pieces in prop::collection::vec(1_usize..20, 1..60),
        ) {
            let bytes = [&[0, 0, 0, 0, message.len() as u8][..], &message, &more].concat();
            let (mut rest, mut bytes) = (Some(START), &bytes[..]);
            for piece in pieces.into_iter().chain([bytes.len()]) {
                let (now, later) = bytes.split_at(piece.min(bytes.len()));
                rest = rest.and_then(|rest| rest.after(now));
                bytes = later;
            }
            prop_assert_eq!(rest, more.is_empty().then_some(Rest::Message(0)));
        }
    }
}
