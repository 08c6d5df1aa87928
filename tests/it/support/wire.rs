//! One behaviour, two transports: a test says what is asked, and runs over REST and over gRPC.

use mintage::grpc::pb::token::{
    self as pb, introspect_request, issue_request, token_service_client::TokenServiceClient,
};
use serde_json::{Value, json};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use super::server::TestServer;

/// The two ways to call the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Rest,
    Grpc,
}

/// How a client authenticates.
#[derive(Clone, Debug)]
pub enum Auth {
    /// HTTP Basic or `authorization` metadata, the parts form-encoded.
    Basic(String, String),
    /// Parameters or the message field.
    Post(String, String),
    /// A verbatim header or metadata value.
    Header(String),
    /// Both of the first two.
    Both(String, String),
    /// Nothing.
    None,
}

impl Auth {
    /// The client of `support::server::CLIENTS` whose secret follows from its name.
    pub fn of(client_id: &str) -> Self {
        Self::Basic(client_id.to_owned(), secret_of(client_id))
    }

    /// The same, as parameters.
    pub fn post(client_id: &str) -> Self {
        Self::Post(client_id.to_owned(), secret_of(client_id))
    }
}

/// The secrets of `support::server::CLIENTS`.
pub fn secret_of(client_id: &str) -> String {
    match client_id {
        "a:b c" => "p%+:/= x".to_owned(),
        "generated" => "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG".to_owned(),
        "resource-server" => "rs-secret".to_owned(),
        other => format!("secret-of-{other}"),
    }
}

/// Parameters of a token request.
#[derive(Clone, Debug, Default)]
pub struct Issue {
    pub scope: Option<String>,
    pub resources: Vec<String>,
    pub audiences: Vec<String>,
}

/// A refusal, as far as both transports can tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The OAuth error code.
    pub error: String,
    pub description: String,
}

/// What came back: JSON in the REST form, or a refusal.
pub type Outcome = Result<Value, Refused>;

/// Calls a server over one transport.
pub struct Wire {
    pub transport: Transport,
    base: String,
    http: reqwest::Client,
    grpc: TokenServiceClient<Channel>,
}

impl Wire {
    /// Both transports of a server.
    pub async fn both(server: &TestServer) -> [Self; 2] {
        let channel = Channel::from_shared(server.url(""))
            .unwrap()
            .connect()
            .await
            .expect("the server accepts connections");
        let wire = |transport| Self {
            transport,
            base: server.url(""),
            http: reqwest::Client::new(),
            grpc: TokenServiceClient::new(channel.clone()),
        };
        [wire(Transport::Rest), wire(Transport::Grpc)]
    }

    /// Asks for a token.
    pub async fn issue(&self, auth: &Auth, issue: &Issue) -> Outcome {
        match self.transport {
            Transport::Rest => {
                let mut form = vec![("grant_type", "client_credentials".to_owned())];
                form.extend(issue.scope.clone().map(|scope| ("scope", scope)));
                form.extend(issue.resources.iter().map(|resource| ("resource", resource.clone())));
                form.extend(issue.audiences.iter().map(|audience| ("audience", audience.clone())));
                self.post("/token", auth, form).await
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
                    client_authentication: message_secret(auth)
                        .map(issue_request::ClientAuthentication::ClientSecret),
                    ..Default::default()
                };
                let response =
                    self.grpc.clone().issue(request(message, auth)).await.map_err(refused)?.into_inner();
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

    /// Asks for a token that must be granted, and returns it.
    pub async fn token(&self, client_id: &str) -> String {
        let response = self.issue(&Auth::of(client_id), &Issue::default()).await;
        response.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks about a token.
    pub async fn introspect(&self, auth: &Auth, token: &str) -> Outcome {
        match self.transport {
            Transport::Rest => {
                let form = if token.is_empty() { vec![] } else { vec![("token", token.to_owned())] };
                self.post("/introspect", auth, form).await
            }
            Transport::Grpc => {
                let message = pb::IntrospectRequest {
                    token: token.to_owned(),
                    client_authentication: message_secret(auth)
                        .map(introspect_request::ClientAuthentication::ClientSecret),
                    ..Default::default()
                };
                let response =
                    self.grpc.clone().introspect(request(message, auth)).await.map_err(refused)?.into_inner();
                if !response.active {
                    assert_eq!(
                        response,
                        pb::IntrospectResponse::default(),
                        "an inactive token says nothing else"
                    );
                    return Ok(json!({ "active": false }));
                }
                let mut json: Value = serde_json::from_slice(&response.claims_json).unwrap();
                json["active"] = true.into();
                json["token_type"] = response.token_type.into();
                Ok(json)
            }
        }
    }

    /// Asks what a token says about its subject.
    pub async fn userinfo(&self, token: Option<&str>) -> Outcome {
        let auth = token.map_or(Auth::None, |token| Auth::Header(format!("Bearer {token}")));
        match self.transport {
            Transport::Rest => {
                let request = self.http.get(format!("{}/userinfo", self.base));
                answer(authorized(request, &auth).send().await.unwrap()).await
            }
            Transport::Grpc => {
                let message = pb::UserInfoRequest::default();
                let response =
                    self.grpc.clone().user_info(request(message, &auth)).await.map_err(refused)?.into_inner();
                Ok(serde_json::from_slice(&response.claims_json).unwrap())
            }
        }
    }

    async fn post(&self, path: &str, auth: &Auth, mut form: Vec<(&'static str, String)>) -> Outcome {
        if let Auth::Post(client_id, secret) | Auth::Both(client_id, secret) = auth {
            form.extend([("client_id", client_id.clone()), ("client_secret", secret.clone())]);
        }
        let request = self.http.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(encode(&form));
        answer(authorized(request, auth).send().await.unwrap()).await
    }

    /// The generated client, for what REST has no twin of.
    pub fn grpc(&self) -> TokenServiceClient<Channel> {
        self.grpc.clone()
    }
}

/// `application/x-www-form-urlencoded`
pub fn encode(form: &[(&'static str, String)]) -> String {
    form.iter().map(|(name, value)| format!("{name}={}", form_encode(value))).collect::<Vec<_>>().join("&")
}

fn form_encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The value of a Basic `Authorization` header (RFC 6749 §2.3.1).
pub fn basic(client_id: &str, secret: &str) -> String {
    use base64::engine::{Engine, general_purpose::STANDARD};

    format!("Basic {}", STANDARD.encode(format!("{}:{}", form_encode(client_id), form_encode(secret))))
}

fn header(auth: &Auth) -> Option<String> {
    match auth {
        Auth::Basic(client_id, secret) | Auth::Both(client_id, secret) => Some(basic(client_id, secret)),
        Auth::Header(value) => Some(value.clone()),
        Auth::Post(..) | Auth::None => None,
    }
}

fn authorized(request: reqwest::RequestBuilder, auth: &Auth) -> reqwest::RequestBuilder {
    match header(auth) {
        Some(value) => request.header("authorization", value),
        None => request,
    }
}

async fn answer(response: reqwest::Response) -> Outcome {
    let status = response.status();
    let json: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    if status.is_success() {
        return Ok(json);
    }
    let text = |member: &str| json[member].as_str().unwrap().to_owned();
    Err(Refused { error: text("error"), description: text("error_description") })
}

fn message_secret(auth: &Auth) -> Option<pb::ClientSecret> {
    match auth {
        Auth::Post(client_id, secret) | Auth::Both(client_id, secret) => {
            Some(pb::ClientSecret { client_id: client_id.clone(), client_secret: secret.clone() })
        }
        Auth::Basic(..) | Auth::Header(_) | Auth::None => None,
    }
}

fn request<T>(message: T, auth: &Auth) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = header(auth) {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
    }
    request
}

/// Reads a status, and checks that its parts agree with each other and with the table of the contract (CHK-144).
pub fn refused(status: Status) -> Refused {
    let error =
        status.metadata().get("oauth-error").expect("the oauth-error trailer").to_str().unwrap().to_owned();
    let info = status.get_details_error_info().expect("google.rpc.ErrorInfo");
    assert_eq!(info.reason, error.to_ascii_uppercase());
    assert_eq!(info.domain, "mintage");
    assert_eq!(info.metadata["oauth_error"], error);
    let code = match error.as_str() {
        "invalid_client" | "invalid_token" => Code::Unauthenticated,
        "unauthorized_client" => Code::PermissionDenied,
        "temporarily_unavailable" => Code::ResourceExhausted,
        "server_error" => Code::Internal,
        _ => Code::InvalidArgument,
    };
    assert_eq!(status.code(), code, "{error}");
    Refused { error, description: status.message().to_owned() }
}
