//! Asks all four operations about one token.

use mintage::grpc::pb::token::{self as pb, token_service_client::TokenServiceClient};
use tonic::{Request, transport::Channel};

use crate::support::{
    TestServer, Wire,
    auth::{basic, encode, secret_of},
    refused::from_status,
};

/// A resource server that may ask about any token.
pub struct Judge {
    http: reqwest::Client,
    introspect: String,
    userinfo: String,
    grpc: TokenServiceClient<Channel>,
    authorization: String,
}

impl Judge {
    pub async fn of(server: &TestServer) -> Self {
        let [_, wire] = Wire::both(server).await;
        Self {
            http: reqwest::Client::new(),
            introspect: server.url("/introspect"),
            userinfo: server.url("/userinfo"),
            grpc: wire.grpc(),
            authorization: basic("resource-server", &secret_of("resource-server")),
        }
    }

    async fn post(&self, url: &str, name: &'static str, token: &str) -> (u16, Option<String>, String) {
        let response = self
            .http
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-request-id", "judge");
        let response = if url == self.introspect {
            response.header("authorization", &self.authorization)
        } else {
            response
        };
        let response = response.body(encode(&[(name, token.to_owned())])).send().await.unwrap();
        let challenge = response.headers().get("www-authenticate").map(|v| v.to_str().unwrap().to_owned());
        (response.status().as_u16(), challenge, response.text().await.unwrap())
    }

    /// The REST introspection answer.
    pub async fn introspected(&self, token: &str) -> (u16, String) {
        let (status, _, body) = self.post(&self.introspect, "token", token).await;
        (status, body)
    }

    /// The gRPC introspection answer.
    pub async fn introspected_by_grpc(&self, token: &str) -> pb::IntrospectResponse {
        let mut request =
            Request::new(pb::IntrospectRequest { token: token.to_owned(), ..Default::default() });
        request.metadata_mut().insert("authorization", self.authorization.parse().unwrap());
        self.grpc.clone().introspect(request).await.unwrap().into_inner()
    }

    /// Fails unless every operation accepts the token. It shows that a refusal would be one.
    pub async fn accepts(&self, token: &str) {
        let (status, body) = self.introspected(token).await;
        assert!(status == 200 && body.contains("\"active\":true"), "{body}");
        assert!(self.introspected_by_grpc(token).await.active);
        let (status, _, body) = self.post(&self.userinfo, "access_token", token).await;
        assert_eq!(status, 200, "{body}");
        self.grpc.clone().user_info(pb::UserInfoRequest { access_token: token.to_owned() }).await.unwrap();
    }

    /// Fails unless every operation refuses the token in the words it has for all bad tokens.
    pub async fn refuses(&self, name: &str, token: &str) {
        let (status, body) = self.introspected(token).await;
        assert_eq!((status, body.as_str()), (200, r#"{"active":false}"#), "{name}");
        assert_eq!(self.introspected_by_grpc(token).await, pb::IntrospectResponse::default(), "{name}");

        let text = "the access token is malformed, expired, or was not issued by this server";
        let (status, challenge, body) = self.post(&self.userinfo, "access_token", token).await;
        assert_eq!(status, 401, "{name}");
        assert_eq!(body, format!(r#"{{"error":"invalid_token","error_description":"{text}"}}"#), "{name}");
        let expected =
            format!("Bearer realm=\"mintage\", error=\"invalid_token\", error_description=\"{text}\"");
        assert_eq!(challenge.as_deref(), Some(expected.as_str()), "{name}");
        let message = pb::UserInfoRequest { access_token: token.to_owned() };
        let refusal = from_status(&self.grpc.clone().user_info(message).await.unwrap_err());
        assert_eq!((refusal.error.as_str(), refusal.description.as_str()), ("invalid_token", text), "{name}");
        if token.bytes().all(|byte| byte.is_ascii_graphic()) && token.len() < 8 * 1024 {
            let bearer = format!("Bearer {token}");
            let response =
                self.http.get(&self.userinfo).header("authorization", bearer).send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], expected.as_str(), "{name}");
        }
    }
}
