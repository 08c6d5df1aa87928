//! One behaviour, two transports: a test says what is asked, and runs over REST and over gRPC.

use std::fmt;

use mintage::grpc::pb::token::{
    self as pb, introspect_request, issue_request, revoke_request, token_service_client::TokenServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::{
    auth::{Auth, encode},
    patience::patiently,
    refused::{self, Refused},
    server::TestServer,
    tls::{self, Pair, TestCa},
};

/// The two ways to call the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Rest,
    Grpc,
}

/// Parameters of a token request.
#[derive(Clone, Debug, Default)]
pub struct Issue {
    pub scope: Option<String>,
    pub resources: Vec<String>,
    pub audiences: Vec<String>,
}

impl Issue {
    /// A request for this scope.
    pub fn scope(scope: &str) -> Self {
        Self { scope: Some(scope.to_owned()), ..Self::default() }
    }

    /// A request for these resources.
    pub fn resources(resources: &[&str]) -> Self {
        Self { resources: resources.iter().map(|text| (*text).to_owned()).collect(), ..Self::default() }
    }

    /// A request for these audiences.
    pub fn audiences(audiences: &[&str]) -> Self {
        Self { audiences: audiences.iter().map(|text| (*text).to_owned()).collect(), ..Self::default() }
    }
}

/// What came back: JSON in the REST form, or a refusal.
pub type Outcome<T = Value> = Result<T, Refused>;

/// The OAuth error code of a refusal.
pub fn error<T: fmt::Debug>(outcome: Outcome<T>) -> String {
    outcome.expect_err("the request must be refused").error
}

/// Calls a server over one transport.
#[derive(Clone)]
pub struct Wire {
    pub transport: Transport,
    base: String,
    http: reqwest::Client,
    grpc: TokenServiceClient<Channel>,
    /// DPoP proofs that go with each request.
    proofs: Vec<String>,
}

impl Wire {
    /// Both transports of a server.
    pub async fn both(server: &TestServer) -> [Self; 2] {
        Self::at(&server.url("")).await
    }

    /// Both transports of whatever listens at a URL.
    pub async fn at(base: &str) -> [Self; 2] {
        let channel = Channel::from_shared(base.to_owned())
            .unwrap()
            .connect()
            .await
            .expect("the server accepts connections");
        Self::through(base, &reqwest::Client::new(), channel)
    }

    /// Both transports of a server that speaks TLS, by a caller that trusts `ca` and shows `client` if it is asked.
    pub async fn both_with_tls(server: &TestServer, ca: &TestCa, client: Option<&Pair>) -> [Self; 2] {
        let base = format!("https://{}", server.address);
        Self::through(&base, &tls::http(ca, client), tls::channel(server.address, ca, client).await)
    }

    fn through(base: &str, http: &reqwest::Client, channel: Channel) -> [Self; 2] {
        let wire = |transport| Self {
            transport,
            base: base.to_owned(),
            http: http.clone(),
            grpc: TokenServiceClient::new(channel.clone()),
            proofs: Vec::new(),
        };
        [wire(Transport::Rest), wire(Transport::Grpc)]
    }

    /// The same caller, who sends these DPoP proofs as well.
    pub fn proving(&self, proofs: &[String]) -> Self {
        Self { proofs: proofs.to_vec(), ..self.clone() }
    }

    /// Asks for a token.
    pub async fn issue(&self, auth: &Auth, issue: &Issue) -> Outcome {
        match self.transport {
            Transport::Rest => {
                let mut form = vec![("grant_type", "client_credentials".to_owned())];
                form.extend(issue.scope.clone().map(|scope| ("scope", scope)));
                form.extend(issue.resources.iter().map(|resource| ("resource", resource.clone())));
                form.extend(issue.audiences.iter().map(|audience| ("audience", audience.clone())));
                self.post("/token", auth, form).await.map(|text| parse(&text))
            }
            Transport::Grpc => {
                let message = pb::IssueRequest {
                    scopes: issue
                        .scope
                        .iter()
                        .flat_map(|scope| scope.split(' '))
                        .map(str::to_owned)
                        .collect(),
                    resources: issue.resources.clone(),
                    audiences: issue.audiences.clone(),
                    ..Default::default()
                };
                let response = self.issue_message(auth, message).await?;
                let mut json = json!({
                    "access_token": response.access_token,
                    "token_type": response.token_type,
                    "expires_in": response.expires_in.unwrap_or_default().seconds,
                });
                if !response.scopes.is_empty() {
                    json["scope"] = response.scopes.join(" ").into();
                }
                Ok(json)
            }
        }
    }

    /// Asks for a token by a message, into which the credentials are put.
    pub async fn issue_message(
        &self,
        auth: &Auth,
        mut message: pb::IssueRequest,
    ) -> Outcome<pb::IssueResponse> {
        if let Auth::BasicBeside(_, _, beside) = auth {
            message.client_id.clone_from(beside);
        } else {
            message.client_id = auth.beside();
            message.client_authentication = auth.of_message(
                issue_request::ClientAuthentication::ClientSecret,
                issue_request::ClientAuthentication::ClientAssertion,
            );
        }
        finish(self.grpc.clone().issue(self.call(auth, message)).await)
    }

    /// Asks for a token that must be granted, and returns it.
    pub async fn token(&self, client_id: &str) -> String {
        self.granted(&Auth::of(client_id), &Issue::default()).await
    }

    /// Asks for a token that must be granted, and returns it. A machine that is too busy to tell who asks is asked again.
    pub async fn granted(&self, auth: &Auth, issue: &Issue) -> String {
        let response = patiently!(self.issue(auth, issue).await, is_put_off);
        response.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks about a token.
    pub async fn introspect(&self, auth: &Auth, token: &str) -> Outcome {
        self.introspect_text(auth, token).await.map(|text| parse(&text))
    }

    /// Asks about a token; the answer is the exact text, which over gRPC is put together from `claims_json`.
    pub async fn introspect_text(&self, auth: &Auth, token: &str) -> Outcome<String> {
        match self.transport {
            Transport::Rest => {
                let form = if token.is_empty() { vec![] } else { vec![("token", token.to_owned())] };
                self.post("/introspect", auth, form).await
            }
            Transport::Grpc => {
                let message = pb::IntrospectRequest { token: token.to_owned(), ..Default::default() };
                let response = self.introspect_message(auth, message).await?;
                if !response.active {
                    let nothing = pb::IntrospectResponse::default();
                    assert_eq!(response, nothing, "an inactive token says nothing else");
                    return Ok(r#"{"active":false}"#.to_owned());
                }
                let claims = String::from_utf8(response.claims_json).unwrap();
                Ok(format!(r#"{{"active":true,"token_type":"{}",{}"#, response.token_type, &claims[1..]))
            }
        }
    }

    /// Asks about a token by a message, into which the credentials are put.
    pub async fn introspect_message(
        &self,
        auth: &Auth,
        mut message: pb::IntrospectRequest,
    ) -> Outcome<pb::IntrospectResponse> {
        message.client_id = auth.beside();
        message.client_authentication = auth.of_message(
            introspect_request::ClientAuthentication::ClientSecret,
            introspect_request::ClientAuthentication::ClientAssertion,
        );
        finish(self.grpc.clone().introspect(self.call(auth, message)).await)
    }

    /// Whether a token is active, according to a client that may ask about any.
    pub async fn is_active(&self, token: &str) -> bool {
        let auth = Auth::of("resource-server");
        let answer = patiently!(self.introspect(&auth, token).await, is_put_off).unwrap();
        answer["active"].as_bool().unwrap()
    }

    /// Asks for a token to be revoked; nothing comes back.
    pub async fn revoke(&self, auth: &Auth, token: &str, hint: &str) -> Outcome<()> {
        match self.transport {
            Transport::Rest => {
                let form = [("token", token), ("token_type_hint", hint)];
                let form = form.into_iter().filter(|(_, value)| !value.is_empty());
                let form = form.map(|(name, value)| (name, value.to_owned())).collect();
                let body = self.post("/revoke", auth, form).await?;
                assert_eq!(body, "", "RFC 7009 section 2.2: the status says it all");
                Ok(())
            }
            Transport::Grpc => {
                let message = pb::RevokeRequest {
                    token: token.to_owned(),
                    token_type_hint: hint.to_owned(),
                    client_id: auth.beside(),
                    client_authentication: auth.of_message(
                        revoke_request::ClientAuthentication::ClientSecret,
                        revoke_request::ClientAuthentication::ClientAssertion,
                    ),
                };
                let response = finish(self.grpc.clone().revoke(self.call(auth, message)).await)?;
                assert_eq!(response, pb::RevokeResponse {});
                Ok(())
            }
        }
    }

    /// Asks what a token says about its subject.
    pub async fn userinfo(&self, token: Option<&str>) -> Outcome {
        self.userinfo_text(token).await.map(|text| parse(&text))
    }

    /// The same; the answer is the exact text.
    pub async fn userinfo_text(&self, token: Option<&str>) -> Outcome<String> {
        let auth = token.map_or(Auth::None, |token| Auth::Header(format!("Bearer {token}")));
        self.userinfo_with(&auth, None).await
    }

    /// The same, with these headers and this parameter.
    pub async fn userinfo_with(&self, auth: &Auth, parameter: Option<&str>) -> Outcome<String> {
        match self.transport {
            Transport::Rest => match parameter {
                Some(token) => self.post("/userinfo", auth, vec![("access_token", token.to_owned())]).await,
                None => self.send(self.http.get(self.url("/userinfo")), auth).await,
            },
            Transport::Grpc => {
                let message = pb::UserInfoRequest { access_token: parameter.unwrap_or_default().to_owned() };
                let response = finish(self.grpc.clone().user_info(self.call(auth, message)).await)?;
                Ok(String::from_utf8(response.claims_json).unwrap())
            }
        }
    }

    fn call<T>(&self, auth: &Auth, message: T) -> tonic::Request<T> {
        let mut request = auth.call(message);
        for proof in &self.proofs {
            request.metadata_mut().append("dpop", proof.parse().unwrap());
        }
        request
    }

    /// Posts a form, the credentials added, over REST whatever the transport.
    pub async fn post(
        &self,
        path: &str,
        auth: &Auth,
        mut form: Vec<(&'static str, String)>,
    ) -> Outcome<String> {
        form.extend(auth.parameters());
        let request = self.http.post(self.url(path));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(encode(&form));
        self.send(request, auth).await
    }

    async fn send(&self, mut request: reqwest::RequestBuilder, auth: &Auth) -> Outcome<String> {
        let headers = auth.headers();
        for value in &headers {
            request = request.header("authorization", value);
        }
        for proof in &self.proofs {
            request = request.header("dpop", proof);
        }
        let response = request.send().await.unwrap();
        if response.status().is_success() {
            return Ok(response.text().await.unwrap());
        }
        Err(refused::from_response(response, !headers.is_empty()).await)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The generated client, for what REST has no twin of.
    pub fn grpc(&self) -> TokenServiceClient<Channel> {
        self.grpc.clone()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transport.fmt(f)
    }
}

/// The message of a response, or the refusal that a status is.
pub fn finish<T>(result: Result<tonic::Response<T>, tonic::Status>) -> Outcome<T> {
    result.map(tonic::Response::into_inner).map_err(|status| refused::from_status(&status))
}

fn is_put_off<T>(outcome: &Outcome<T>) -> bool {
    outcome.as_ref().is_err_and(|refused| refused.error == "temporarily_unavailable")
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("a success body is JSON")
}
