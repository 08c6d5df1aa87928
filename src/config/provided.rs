//! What a configured client counts on that other settings must provide. A client of the store that lacks it is found out when
//! it authenticates, since the settings may follow later.

use super::{check_proof::check_jwks_uri, methods::Methods, proof::JwksFetch, vouchers::Vouchers};
use crate::oauth::client::{Client, ClientKeys};

/// The settings that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Provided<'a> {
    /// How clients can authenticate.
    pub(super) methods: &'a Methods,
    /// Who can speak for them.
    pub(super) vouchers: &'a Vouchers,
    /// Where their keys may be.
    pub(super) jwks_fetch: &'a JwksFetch,
}

impl Provided<'_> {
    /// What the settings lack for a client: the member that counts on it, and what to do.
    pub(super) fn missing(&self, client: &Client) -> impl Iterator<Item = (&'static str, String)> {
        let keys = match &client.proof.keys {
            Some(ClientKeys::At(uri)) => check_jwks_uri(uri, self.jwks_fetch).err(),
            _ => None,
        };
        let keys = keys.map(|text| ("jwks_uri", text));
        self.methods.obstacle(client).into_iter().chain(self.vouchers.obstacle(client)).chain(keys)
    }
}
