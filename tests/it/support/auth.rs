//! How a test authenticates: the same claim to be a client, as REST and as gRPC carry it.

use mintage::grpc::pb::token as pb;
use tonic::Request;

/// How a client authenticates.
#[derive(Clone, Debug)]
pub enum Auth {
    /// HTTP Basic or `authorization` metadata, the parts form-encoded.
    Basic(String, String),
    /// Parameters or the message field.
    Post(String, String),
    /// A verbatim header or metadata value.
    Header(String),
    /// Several verbatim headers or metadata values.
    Headers(Vec<String>),
    /// Both of the first two.
    Both(String, String),
    /// Basic, and a `client_id` beside it.
    BasicBeside(String, String, String),
    /// An assertion; an empty text is not sent.
    Assertion { client_id: String, kind: String, assertion: String },
    /// The certificate of the connection, and the `client_id` that goes with it.
    Certificate(String),
    /// Nothing.
    None,
}

impl Auth {
    /// The client of `support::server::CLIENTS` whose secret follows from its name.
    pub fn of(client_id: &str) -> Self {
        Self::basic(client_id, &secret_of(client_id))
    }

    /// The same, as parameters.
    pub fn post(client_id: &str) -> Self {
        Self::form(client_id, &secret_of(client_id))
    }

    /// Basic with a secret of the test's choice.
    pub fn basic(client_id: &str, secret: &str) -> Self {
        Self::Basic(client_id.to_owned(), secret.to_owned())
    }

    /// Parameters with a secret of the test's choice.
    pub fn form(client_id: &str, secret: &str) -> Self {
        Self::Post(client_id.to_owned(), secret.to_owned())
    }

    /// The certificate of the connection.
    pub fn certificate(client_id: &str) -> Self {
        Self::Certificate(client_id.to_owned())
    }

    /// A verbatim header or metadata value.
    pub fn header(value: impl Into<String>) -> Self {
        Self::Header(value.into())
    }

    /// The `Authorization` headers or `authorization` metadata values.
    pub fn headers(&self) -> Vec<String> {
        match self {
            Self::Basic(client_id, secret)
            | Self::Both(client_id, secret)
            | Self::BasicBeside(client_id, secret, _) => vec![basic(client_id, secret)],
            Self::Header(value) => vec![value.clone()],
            Self::Headers(values) => values.clone(),
            Self::Post(..) | Self::Assertion { .. } | Self::Certificate(_) | Self::None => vec![],
        }
    }

    /// The parameters of a form.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Post(client_id, secret) | Self::Both(client_id, secret) => {
                vec![("client_id", client_id.clone()), ("client_secret", secret.clone())]
            }
            Self::BasicBeside(_, _, id) | Self::Certificate(id) => vec![("client_id", id.clone())],
            Self::Assertion { client_id, kind, assertion } => {
                let all = [
                    ("client_id", client_id),
                    ("client_assertion_type", kind),
                    ("client_assertion", assertion),
                ];
                let sent = all.into_iter().filter(|(_, value)| !value.is_empty());
                sent.map(|(name, value)| (name, value.clone())).collect()
            }
            Self::Basic(..) | Self::Header(_) | Self::Headers(_) | Self::None => vec![],
        }
    }

    /// The field of a message. An empty secret there is a `client_id` and nothing more.
    pub fn message(&self) -> Option<pb::ClientSecret> {
        match self {
            Self::Post(client_id, secret) | Self::Both(client_id, secret) => {
                Some(pb::ClientSecret { client_id: client_id.clone(), client_secret: secret.clone() })
            }
            Self::BasicBeside(_, _, beside) => {
                Some(pb::ClientSecret { client_id: beside.clone(), client_secret: String::new() })
            }
            Self::Assertion { .. }
            | Self::Basic(..)
            | Self::Header(_)
            | Self::Headers(_)
            | Self::Certificate(_)
            | Self::None => None,
        }
    }

    /// The other field of a message.
    pub fn assertion(&self) -> Option<pb::ClientAssertion> {
        match self {
            Self::Assertion { client_id, kind, assertion } => Some(pb::ClientAssertion {
                client_id: client_id.clone(),
                client_assertion_type: kind.clone(),
                client_assertion: assertion.clone(),
            }),
            _ => None,
        }
    }

    /// The `client_id` of a message, beside its credentials.
    pub fn beside(&self) -> String {
        match self {
            Self::Certificate(client_id) => client_id.clone(),
            _ => String::new(),
        }
    }

    /// The credentials that a message of any kind has.
    pub fn of_message<T>(
        &self,
        secret: impl FnOnce(pb::ClientSecret) -> T,
        assertion: impl FnOnce(pb::ClientAssertion) -> T,
    ) -> Option<T> {
        self.message().map(secret).or_else(|| self.assertion().map(assertion))
    }

    /// A call with the metadata.
    pub fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for value in self.headers() {
            request.metadata_mut().append("authorization", value.parse().unwrap());
        }
        request
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

/// A secret that no client has, of the form this project generates: refusing it costs no Argon2id.
pub const WRONG: &str = "mint_WRONGWRONGWRONGWRONGWRONGWRONGWRONGWRONGWRO";

/// The value of a Basic `Authorization` header (RFC 6749 §2.3.1).
pub fn basic(client_id: &str, secret: &str) -> String {
    raw_basic(format!("{}:{}", form_encode(client_id), form_encode(secret)))
}

/// The value of a Basic `Authorization` header with this pair in it, as it is.
pub fn raw_basic(pair: impl AsRef<[u8]>) -> String {
    use base64::engine::{Engine, general_purpose::STANDARD};

    format!("Basic {}", STANDARD.encode(pair))
}

/// `application/x-www-form-urlencoded`
pub fn encode(form: &[(&'static str, String)]) -> String {
    form.iter().map(|(name, value)| format!("{name}={}", form_encode(value))).collect::<Vec<_>>().join("&")
}

fn form_encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
