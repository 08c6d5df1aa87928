//! Tokens that the server does not recognise: those it has verified lately it does.

use std::cell::RefCell;

use tokio::task::JoinSet;

use super::{
    Result,
    http::issue,
    load::{CONNECTIONS, ONCE, WARM_UP},
    server::Server,
};

/// As many tokens as [`once`](super::load::once) shows: the first ones are one again and again, and the others are new.
pub struct Unknown(RefCell<Vec<String>>);

impl Unknown {
    /// Tokens of this client.
    pub async fn get(server: &Server, client_id: &str) -> Result<Self> {
        let request = issue(client_id);
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (mut connection, request) = (server.connect().await?, request.clone());
            connections.spawn_local(async move {
                let mut tokens = Vec::new();
                for _ in 0..ONCE.div_ceil(CONNECTIONS) {
                    connection.ask(&request).await?;
                    tokens.push(connection.token()?);
                }
                Result::Ok(tokens)
            });
        }
        let tokens: Result<Vec<_>> = connections.join_all().await.into_iter().collect();
        let mut tokens = tokens?.concat();
        // They are taken from the end.
        tokens.extend(vec![server.token(client_id).await?; WARM_UP]);
        Ok(Self(RefCell::new(tokens)))
    }

    /// The next one.
    pub fn next(&self) -> Result<String> {
        Ok(self.0.borrow_mut().pop().ok_or("no token is left")?)
    }
}
