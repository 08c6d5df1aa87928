//! One message per unary call (gRPC over HTTP/2).
//!
//! tonic reads the first message of a unary call and then skips the rest, however long that goes on: two parties could
//! read different requests from one call, and a caller could send for ever. Here a second message is an error.
//!
//! tonic also makes room for a message as soon as it knows its length: five bytes take as many as they claim. It gets the message
//! whole, from a buffer that grows with what has come.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Status, server::NamedService};
use tower::Service;

/// The prefix of a message: a flag and the length.
const PREFIX: usize = 5;

/// A service all of whose methods take one message.
#[derive(Clone, Debug)]
pub(super) struct Unary<S> {
    pub(super) service: S,
    /// The longest message, in bytes.
    pub(super) longest: usize,
}

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
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> S::Future {
        let longest = self.longest;
        self.service.call(request.map(|body| OneMessage {
            body,
            longest,
            rest: Rest::Prefix { read: 0, length: 0 },
            begun: BytesMut::new(),
        }))
    }
}

/// A request body that holds at most one message.
#[derive(Debug)]
pub(super) struct OneMessage {
    body: tonic::body::Body,
    longest: usize,
    rest: Rest,
    /// What has come of a message that came in pieces.
    begun: BytesMut,
}

/// What is still to come of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Prefix { read: usize, length: u32 },
    Message(usize),
}

impl Rest {
    /// How many bytes are to come, as far as that is known.
    const fn known(self) -> usize {
        match self {
            Self::Prefix { .. } => 0,
            Self::Message(left) => left,
        }
    }

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
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
                // Too short, which is for tonic to say.
                let begun = self.begun.split().freeze();
                return Poll::Ready((!begun.is_empty()).then(|| Ok(Frame::data(begun))));
            };
            let Some(data) = frame.data_ref() else { return Poll::Ready(Some(Ok(frame))) };
            let Some(rest) = self.rest.after(data) else {
                return Poll::Ready(Some(Err(Status::internal("a unary call has one message"))));
            };
            self.rest = rest;
            let is_whole = rest == Rest::Message(0);
            if is_whole && self.begun.is_empty() {
                return Poll::Ready(Some(Ok(frame)));
            }
            let so_far = self.begun.len() + data.len();
            let length = so_far.saturating_add(rest.known()).saturating_sub(PREFIX);
            if length > self.longest {
                let text = format!("a message has at most {} bytes, and this one {length}", self.longest);
                return Poll::Ready(Some(Err(Status::out_of_range(text))));
            }
            self.begun.extend_from_slice(data);
            if is_whole {
                let begun = self.begun.split().freeze();
                return Poll::Ready(Some(Ok(Frame::data(begun))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
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

    /// What tonic gets of a body that comes in these pieces.
    async fn passed_on(pieces: Vec<Vec<u8>>) -> Vec<Result<Bytes, Status>> {
        let frames = pieces.into_iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::from(piece))));
        let body = tonic::body::Body::new(StreamBody::new(tokio_stream::iter(frames)));
        let rest = Rest::Prefix { read: 0, length: 0 };
        let mut message = OneMessage { body, longest: 10, rest, begun: BytesMut::new() };
        let mut passed = Vec::new();
        while let Some(frame) = message.frame().await {
            passed.push(frame.map(|frame| frame.into_data().unwrap()));
            if passed.last().is_some_and(Result::is_err) {
                break;
            }
        }
        passed
    }

    // V-60
    #[tokio::test]
    async fn a_message_is_passed_on_whole_and_a_length_that_is_too_great_at_once_refused() {
        let whole = vec![0, 0, 0, 0, 3, 7, 8, 9];
        for pieces in [vec![whole.clone()], whole.iter().map(|byte| vec![*byte]).collect()] {
            let passed = passed_on(pieces).await;
            assert_eq!(passed.len(), 1);
            assert_eq!(passed[0].as_ref().unwrap()[..], whole);
        }
        for begun in [vec![vec![0, 0, 0, 0, 11]], vec![vec![0], vec![255, 255, 255], vec![255, 1]]] {
            let passed = passed_on(begun).await;
            assert_eq!(passed[0].as_ref().unwrap_err().code(), tonic::Code::OutOfRange);
        }
        assert_eq!(
            passed_on(vec![vec![0, 0, 0, 0, 3], vec![7]]).await[0].as_ref().unwrap().len(),
            6,
            "for tonic to refuse"
        );
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
