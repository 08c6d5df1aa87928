//! What the method, the profile, the algorithms, the keys and the secrets of a client must have to do with each other.

use super::{
    ClientKeys, ClientSecret, Profile, ProofMembers, SecretForm, SecretHash, TokenEndpointAuthMethod,
    registration::Problems,
};
use crate::{
    jose::{JwsAlgorithm, SigningAlgorithm, VerificationKey, jwk_set::Selection},
    oauth::grant::GrantType,
};

/// The members that are looked at together.
pub(super) struct Together<'a> {
    pub(super) method: Option<TokenEndpointAuthMethod>,
    pub(super) proof: &'a ProofMembers,
    pub(super) secrets: &'a [ClientSecret],
    pub(super) grant_types: &'a [GrantType],
    pub(super) has_scope: bool,
    pub(super) token_algorithm: SigningAlgorithm,
}

impl Together<'_> {
    pub(super) fn check(&self, problems: &mut Problems) {
        self.check_profile(problems);
        let allowed = self.check_algorithms(problems);
        self.check_keys(&allowed, problems);
        self.check_secrets(&allowed, problems);
    }

    fn check_profile(&self, problems: &mut Problems) {
        use TokenEndpointAuthMethod as Method;

        let profile = self.proof.profile;
        match (profile, self.method) {
            (Profile::Strict | Profile::Compat, _) | (Profile::Smart, Some(Method::PrivateKeyJwt)) => {}
            (
                Profile::Fapi2,
                Some(
                    Method::PrivateKeyJwt
                    | Method::TlsClientAuth
                    | Method::SelfSignedTlsClientAuth
                    | Method::SpiffeX509,
                ),
            ) => {}
            (Profile::Smart, _) => problems.report(
                "token_endpoint_auth_method",
                "must be \"private_key_jwt\" with profile \"smart\" (SMART App Launch 2.2, Backend Services)",
            ),
            // CHK-141
            (Profile::Fapi2, _) => problems.report(
                "token_endpoint_auth_method",
                "must be \"private_key_jwt\", \"tls_client_auth\", \"self_signed_tls_client_auth\" or \"spiffe_x509\" with \
                 profile \"fapi2\" (FAPI 2.0 Security Profile section 5.3.2.1)",
            ),
        }
        if profile == Profile::Fapi2 && !self.proof.federated.is_empty() {
            problems.report(
                "federated",
                "is not allowed with profile \"fapi2\": the client itself must authenticate",
            );
        }
        if !profile.allows_token_algorithm(self.token_algorithm) {
            problems.report(
                "access_token_signing_alg",
                format!(
                    "is {}; profile \"fapi2\" allows PS256, ES256 and EdDSA (FAPI 2.0 Security Profile section 5.4.1)",
                    self.token_algorithm
                ),
            );
        }
        // CHK-132: the response must have a scope, and an empty one is none.
        if profile == Profile::Smart && !self.grant_types.is_empty() && !self.has_scope {
            problems.report("scope", "is missing; profile \"smart\" grants scopes (SMART App Launch 2.2)");
        }
    }

    /// The listed algorithms, or all that method and profile allow.
    fn check_algorithms(&self, problems: &mut Problems) -> Vec<JwsAlgorithm> {
        let offered = self.method.map_or(&[][..], TokenEndpointAuthMethod::assertion_algorithms);
        let offered: Vec<JwsAlgorithm> = offered
            .iter()
            .copied()
            .filter(|alg| self.proof.profile.allows_assertion_algorithm(*alg))
            .collect();
        let listed = &self.proof.assertion_algorithms;
        if listed.is_empty() || offered.is_empty() {
            return offered;
        }
        for alg in listed.iter().filter(|alg| !offered.contains(alg)) {
            problems.report(
                "token_endpoint_auth_signing_alg",
                format!("{alg} is not for this method and profile; choose among {}", names(&offered)),
            );
        }
        listed.clone()
    }

    /// Registered keys can be judged now; those at a URL when they are used.
    fn check_keys(&self, allowed: &[JwsAlgorithm], problems: &mut Problems) {
        if self.method != Some(TokenEndpointAuthMethod::PrivateKeyJwt) {
            return;
        }
        if let Some(ClientKeys::Registered { keys, .. }) = &self.proof.keys
            && !keys.is_empty()
            && allowed.iter().all(|alg| matches!(keys.find(None, *alg), Selection::NoKey))
        {
            problems.report("jwks", format!("holds no key for {}", names(allowed)));
        }
    }

    /// RFC 7518 §3.2: a key of HMAC has at least the length of the hash. Which of several algorithms is used is the client's
    /// choice, so that a secret must do for every algorithm that is listed, and for the shortest hash when none is.
    fn check_secrets(&self, allowed: &[JwsAlgorithm], problems: &mut Problems) {
        if self.method != Some(TokenEndpointAuthMethod::ClientSecretJwt) {
            return;
        }
        let listed = &self.proof.assertion_algorithms;
        let must = if listed.is_empty() { &allowed[..allowed.len().min(1)] } else { &listed[..] };
        for secret in self.secrets {
            let SecretHash::Sealed(sealed) = &secret.hash else { continue };
            let stand_in = vec![0; sealed.secret_length()];
            if let Some(alg) =
                must.iter().find(|alg| VerificationKey::hmac(String::new(), **alg, &stand_in).is_err())
            {
                problems.report(
                    "client_secret",
                    format!(
                        "has {} bytes, too few for {alg}: client_secret_jwt needs 32 for HS256, 48 for HS384, 64 for HS512 \
                         (RFC 7518 section 3.2); a generated secret serves HS256 and HS384, for HS512 choose one of at \
                         least 64 bytes",
                        sealed.secret_length()
                    ),
                );
            }
        }
    }
}

/// Whether a hash that somebody wrote down is of the kind that the method can be verified with.
pub(super) fn check_form(
    method: Option<TokenEndpointAuthMethod>,
    hash: &SecretHash,
) -> Result<(), &'static str> {
    match (SecretForm::of(method), hash.form()) {
        (SecretForm::Hashed, SecretForm::Hashed) | (SecretForm::Sealed, SecretForm::Sealed) => Ok(()),
        (SecretForm::Sealed, SecretForm::Hashed) => Err(
            "is a hash, and client_secret_jwt cannot be verified with one; set client_secret or client_secret_file",
        ),
        (SecretForm::Hashed, SecretForm::Sealed) => {
            Err("is a sealed secret, which only token_endpoint_auth_method \"client_secret_jwt\" uses")
        }
    }
}

fn names(algorithms: &[JwsAlgorithm]) -> String {
    algorithms.iter().map(|alg| alg.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
