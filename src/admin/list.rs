//! Lists of clients: filter, order and pages (AIP-132, AIP-158, AIP-160).

use super::{
    clients::{ClientAdmin, RegisteredClient, document_of},
    error::AdminError,
    filter::{Filter, OrderBy, Pattern},
};
use crate::oauth::{
    client::ClientId,
    store::{ClientQuery, ClientRecord},
};

/// How many clients a page has when nobody says.
const PAGE_SIZE: u32 = 50;

/// How many clients a page has at most (AIP-158).
const MAX_PAGE_SIZE: u32 = 1000;

/// Which clients to list.
#[derive(Clone, Debug, Default)]
pub struct ListClients {
    /// At most so many; 0 leaves it to the server.
    pub page_size: i32,
    /// Where the page before ended.
    pub page_token: String,
    /// Which ones.
    pub filter: String,
    /// In which order.
    pub order_by: String,
}

/// A page of a list.
#[derive(Debug)]
pub struct ClientPage {
    /// The clients.
    pub clients: Vec<RegisteredClient>,
    /// What to ask for the next page with; empty on the last.
    pub next_page_token: String,
}

impl ClientAdmin {
    /// Some clients of the store.
    ///
    /// # Errors
    /// [`AdminError::InvalidArgument`] for a filter, an order or a page token that is none.
    pub async fn list(&self, request: &ListClients) -> Result<ClientPage, AdminError> {
        let filter = Filter::parse(&request.filter)?;
        let OrderBy { order, descending } = OrderBy::parse(&request.order_by)?;
        let size = match u32::try_from(request.page_size) {
            Err(_) => {
                return Err(AdminError::invalid("page_size", "it must be 1 to 1000, or 0 for the default"));
            }
            Ok(0) => PAGE_SIZE,
            Ok(size) => size.min(MAX_PAGE_SIZE),
        };
        let after = if request.page_token.is_empty() {
            None
        } else {
            Some(self.1.read(&request.filter, &request.order_by, &request.page_token)?)
        };
        let query = ClientQuery {
            enabled: filter.enabled,
            order,
            descending,
            after,
            // One more than the page holds shows whether there is another.
            limit: size + 1,
            client_id_prefix: None,
        };
        let mut records = match filter.client_id {
            Some(Pattern::Exactly(client_id)) => self.list_one(&client_id, filter.enabled).await?,
            Some(Pattern::Prefix(prefix)) => {
                self.0.clients.list(&ClientQuery { client_id_prefix: Some(prefix), ..query }).await?
            }
            None => self.0.clients.list(&query).await?,
        };
        let is_last = records.len() <= size as usize;
        records.truncate(size as usize);
        let next_page_token = match records.last() {
            Some(last) if !is_last => {
                let after = (last.client_id.clone(), last.created_at);
                self.1.write(&request.filter, &request.order_by, &after)
            }
            _ => String::new(),
        };
        let clients = records
            .iter()
            .map(|record| Ok(RegisteredClient::new(record, document_of(record)?)))
            .collect::<Result<_, AdminError>>()?;
        Ok(ClientPage { clients, next_page_token })
    }

    async fn list_one(
        &self,
        client_id: &str,
        enabled: Option<bool>,
    ) -> Result<Vec<ClientRecord>, AdminError> {
        let Ok(client_id) = ClientId::parse(client_id) else { return Ok(Vec::new()) };
        let record = self.0.clients.get(&client_id).await?;
        Ok(record
            .into_iter()
            .filter(|record| enabled.is_none_or(|enabled| record.enabled == enabled))
            .collect())
    }
}
