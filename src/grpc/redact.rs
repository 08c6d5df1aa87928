//! `Debug` for messages that carry secrets or tokens: everything but those. build.rs keeps prost from deriving it.

use std::fmt;

use super::pb::{admin, token as pb};

const HIDDEN: &str = "***";

impl fmt::Debug for pb::ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret")
            .field("client_id", &self.client_id)
            .field("client_secret", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for pb::ClientAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAssertion")
            .field("client_id", &self.client_id)
            .field("client_assertion_type", &self.client_assertion_type)
            .field("client_assertion", &HIDDEN)
            .finish()
    }
}

impl fmt::Debug for pb::JwtBearerGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBearerGrant").field("assertion", &HIDDEN).finish()
    }
}

impl fmt::Debug for pb::IssueRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueRequest")
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("audiences", &self.audiences)
            .field("resources", &self.resources)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::IssueResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssueResponse")
            .field("access_token", &HIDDEN)
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .field("scopes", &self.scopes)
            .field("token_id", &self.token_id)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::IntrospectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectRequest")
            .field("token", &HIDDEN)
            .field("view", &self.view)
            .field("expected_audience", &self.expected_audience)
            .field("required_scopes", &self.required_scopes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::RevokeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevokeRequest").field("token", &HIDDEN).finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::UserInfoRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfoRequest").field("access_token", &HIDDEN).finish()
    }
}

impl fmt::Debug for admin::CreateClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateClientRequest")
            .field("client", &self.client)
            .field("request_id", &self.request_id)
            .field("validate_only", &self.validate_only)
            .field("client_secret", &HIDDEN)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for admin::CreateClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateClientResponse")
            .field("client", &self.client)
            .field("client_secret", &HIDDEN)
            .field("secret_id", &self.secret_id)
            .field("repeated_request", &self.repeated_request)
            .finish()
    }
}

impl fmt::Debug for admin::AddClientSecretRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddClientSecretRequest")
            .field("client_id", &self.client_id)
            .field("client_secret", &HIDDEN)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for admin::AddClientSecretResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddClientSecretResponse")
            .field("secret", &self.secret)
            .field("client_secret", &HIDDEN)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // V-71
    #[test]
    fn no_secret_is_printed() {
        const CANARY: &str = "canary-5f0e";
        let secret = pb::ClientSecret { client_id: "c".to_owned(), client_secret: CANARY.to_owned() };
        let introspect = pb::IntrospectRequest { token: CANARY.to_owned(), ..Default::default() };
        let issue = pb::IssueRequest { dpop_proof: CANARY.to_owned(), ..Default::default() };
        let assertion = pb::ClientAssertion { client_assertion: CANARY.to_owned(), ..Default::default() };
        let grant = pb::JwtBearerGrant { assertion: CANARY.to_owned() };
        let issued = pb::IssueResponse { access_token: CANARY.to_owned(), ..Default::default() };
        let userinfo = pb::UserInfoRequest { access_token: CANARY.to_owned() };
        let batch = pb::BatchIntrospectRequest { requests: vec![introspect.clone()], ..Default::default() };
        let create = admin::CreateClientRequest { client_secret: CANARY.to_owned(), ..Default::default() };
        let created = admin::CreateClientResponse { client_secret: CANARY.to_owned(), ..Default::default() };
        let add = admin::AddClientSecretRequest { client_secret: CANARY.to_owned(), ..Default::default() };
        let added = admin::AddClientSecretResponse { client_secret: CANARY.to_owned(), ..Default::default() };
        let revoke = pb::RevokeRequest { token: CANARY.to_owned(), ..Default::default() };
        let printed = format!(
            "{secret:?} {assertion:?} {grant:?} {introspect:?} {issue:?} {issued:?} {userinfo:?} {batch:?} {revoke:?} {create:?} {created:?} {add:?} {added:?}"
        );
        assert!(!printed.contains(CANARY), "{printed}");
        assert!(printed.contains(HIDDEN));
    }
}
