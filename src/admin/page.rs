//! Page tokens (AIP-158): where a list goes on, in a form that only this server can make (V-43).
//!
//! A token is `1 | HMAC-SHA256 | created_at | client_id`, in base64url. The HMAC covers the filter and the order too, so that a token
//! continues the list it came from and no other. The page size may change between pages.

use aws_lc_rs::hmac;

use super::error::AdminError;
use crate::{
    clock::Timestamp,
    jose::{base64url, base64url_decode},
    oauth::client::ClientId,
};

const VERSION: u8 = 1;
const TAG_LENGTH: usize = 32;

/// Makes page tokens and reads them back.
#[derive(Clone)]
pub struct PageTokens(hmac::Key);

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageTokens(***)")
    }
}

impl PageTokens {
    /// Page tokens under a key. Every replica needs the same, since each page may come from another.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token for what follows a client in a list.
    pub(super) fn write(&self, filter: &str, order_by: &str, after: &(ClientId, Timestamp)) -> String {
        let cursor = [&after.1.seconds().to_be_bytes()[..], after.0.as_str().as_bytes()].concat();
        let tag = self.tag(filter, order_by, &cursor);
        base64url([&[VERSION][..], tag.as_ref(), &cursor].concat())
    }

    /// Where a list goes on.
    pub(super) fn read(
        &self,
        filter: &str,
        order_by: &str,
        token: &str,
    ) -> Result<(ClientId, Timestamp), AdminError> {
        self.open(filter, order_by, token).ok_or_else(|| {
            AdminError::invalid(
                "page_token",
                "it must be the next_page_token of a list with the same filter and order_by",
            )
        })
    }

    fn open(&self, filter: &str, order_by: &str, token: &str) -> Option<(ClientId, Timestamp)> {
        let bytes = base64url_decode(token)?;
        let (version, rest) = bytes.split_first()?;
        let (tag, cursor) = rest.split_at_checked(TAG_LENGTH)?;
        if *version != VERSION {
            return None;
        }
        hmac::verify(&self.0, &covered(filter, order_by, cursor), tag).ok()?;
        let (created_at, client_id) = cursor.split_first_chunk()?;
        let client_id = ClientId::parse(std::str::from_utf8(client_id).ok()?).ok()?;
        Some((client_id, Timestamp::from_seconds(u64::from_be_bytes(*created_at))))
    }

    fn tag(&self, filter: &str, order_by: &str, cursor: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, &covered(filter, order_by, cursor))
    }
}

/// Each part is preceded by its length, so that no byte can move from one to the next.
fn covered(filter: &str, order_by: &str, cursor: &[u8]) -> Vec<u8> {
    let mut covered = b"mintage page token".to_vec();
    for part in [filter.as_bytes(), order_by.as_bytes(), cursor] {
        covered.extend_from_slice(&(part.len() as u64).to_be_bytes());
        covered.extend_from_slice(part);
    }
    covered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after() -> (ClientId, Timestamp) {
        (ClientId::parse("billing").unwrap(), Timestamp::from_seconds(1_800_000_000))
    }

    // V-43
    #[test]
    fn a_token_continues_the_list_it_came_from_and_no_other() {
        let tokens = PageTokens::new(&[7; 32]);
        let token = tokens.write("f", "o", &after());
        assert_eq!(tokens.read("f", "o", &token), Ok(after()));
        for (filter, order_by) in [("", "o"), ("f", ""), ("fo", ""), ("", "fo"), ("f", "o desc")] {
            assert!(tokens.read(filter, order_by, &token).is_err(), "{filter} {order_by}");
        }
        assert!(PageTokens::new(&[8; 32]).read("f", "o", &token).is_err());
    }

    // V-43
    #[test]
    fn an_edited_token_is_refused() {
        let tokens = PageTokens::new(&[7; 32]);
        let token = base64url_decode(tokens.write("f", "o", &after())).unwrap();
        for at in 0..token.len() {
            let mut edited = token.clone();
            edited[at] ^= 1;
            assert!(tokens.read("f", "o", &base64url(edited)).is_err(), "byte {at}");
            assert!(tokens.read("f", "o", &base64url(&token[..at])).is_err(), "{at} bytes");
        }
    }

    proptest! {
        // V-43
        #[test]
        fn a_random_token_is_refused(text in ".{0,100}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let tokens = PageTokens::new(&[7; 32]);
            prop_assert!(tokens.read("", "", &text).is_err());
            prop_assert!(tokens.read("", "", &base64url(bytes)).is_err());
        }
    }
}
