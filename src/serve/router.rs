//! REST or gRPC, told by the content type; the one answer when neither knows the path.
//!
//! A caller that speaks gRPC gets a gRPC status and any other caller gets JSON, so that a client which probes for a
//! document it may not find sees a 404, never a `200` with `grpc-status`.

use std::convert::Infallible;

use axum::{Router, body::Body, middleware, routing::future::RouteFuture};
use http::{Method, Request, Response, Version};
use tonic_web::GrpcWebLayer;
use tower::Service;

use super::refusal::{Form, GRPC_NOT_POST, GRPC_OVER_HTTP1, NOT_FOUND, NOT_GRPC, NOT_REST, Refusal};

/// Everything that one listener serves.
#[derive(Clone, Debug)]
pub struct Routes {
    rest: Router,
    grpc: Router,
    /// The same services behind gRPC-Web, apart from `grpc` so that plain gRPC does not pay for the translation.
    grpc_web: Router,
}

/// Joins the REST routes with the gRPC services (of `tonic::service::Routes::into_axum_router`). Fallbacks of either
/// are dropped: the one fallback is here.
pub fn router(rest: Router, grpc: Router) -> Routes {
    let (rest, grpc) = (rest.reset_fallback(), grpc.reset_fallback());
    let refuse = |routes: &Router, refusal: Refusal| {
        let answer = move |_: axum::extract::Request, _: middleware::Next| std::future::ready(refusal.json());
        routes.clone().layer(middleware::from_fn(answer)).reset_fallback()
    };
    let (not_grpc, not_rest) = (refuse(&grpc, NOT_GRPC), refuse(&rest, NOT_REST));
    let unimplemented = async |request: Request<Body>| NOT_FOUND.answer(Form::of(request.headers()));
    Routes {
        rest: rest.merge(not_grpc).fallback(async || NOT_FOUND.json()),
        grpc_web: grpc
            .clone()
            .layer(GrpcWebLayer::new())
            .reset_fallback()
            .merge(not_rest.clone())
            .fallback(unimplemented),
        grpc: grpc.merge(not_rest).fallback(unimplemented),
    }
}

impl Routes {
    /// Takes a request of this form to its route.
    ///
    /// # Errors
    /// The answer, where there is no route for such a request.
    pub(super) fn route(
        &self,
        form: Form,
        request: Request<Body>,
    ) -> Result<RouteFuture<Infallible>, Box<Response<Body>>> {
        let routes = match form {
            Form::Json => &self.rest,
            Form::Unsupported => return Err(NOT_GRPC.json().into()),
            Form::Grpc if request.version() < Version::HTTP_2 => return Err(GRPC_OVER_HTTP1.json().into()),
            Form::Grpc | Form::GrpcWeb(_) if request.method() != Method::POST => {
                return Err(GRPC_NOT_POST.json().into());
            }
            Form::Grpc => &self.grpc,
            Form::GrpcWeb(_) => &self.grpc_web,
        };
        // A router is always ready.
        Ok(routes.clone().call(request))
    }
}
