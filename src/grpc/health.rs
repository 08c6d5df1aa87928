//! The places of those who watch the health of the server.
//!
//! tonic-health keeps a `Watch` open for as long as its caller likes, and has any number of them.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::{body::Body, server::NamedService};
use tower::Service;

use super::{error, watch::Streams};
use crate::peer::Peer;

/// The health service, with so many streams at once.
#[derive(Clone, Debug)]
pub(super) struct Health<S> {
    pub(super) service: S,
    pub(super) streams: Streams,
}

impl<S: NamedService> NamedService for Health<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Health<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_watch = request.uri().path().ends_with("/Watch");
        let source = Peer::source_of(request.extensions().get());
        match is_watch.then(|| self.streams.place(source)).transpose() {
            Ok(place) => {
                let answer = self.service.call(request);
                Box::pin(async move {
                    Ok(answer.await?.map(|body| {
                        Body::new(body.map_frame(move |frame| {
                            let _until_the_end = &place;
                            frame
                        }))
                    }))
                })
            }
            Err(busy) => {
                let refused = error::status(&busy).into_http();
                Box::pin(async { Ok(refused) })
            }
        }
    }
}
