//! Forged tokens, end to end: whoever signed them and whatever they say, the answer is the one for garbage.
//!
//! The signer is `support::forge`, which shares no code with the server. It holds the server's own RS256 and HS256 keys,
//! so that each token here is good but for the one thing it is about.

mod forged;
mod identities;
mod judge;
mod jws;
mod keys;
mod shapes;
mod vectors;
