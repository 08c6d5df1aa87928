"""Clients that authenticate by assertion: their keys, and their tables in the configuration."""

import json

from joserfc.jwk import ECKey, OKPKey, RSAKey

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

# What libraries sign with by default, and one of each type.
KEYS = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rs"}),
    "PS256": RSAKey.generate_key(2048, {"kid": "ps"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "es256"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "es384"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}

# As long as HS512 needs (RFC 7518 section 3.2).
SECRET = "a-secret-that-is-known-to-both-sides-and-has-sixty-four-bytes-ok"
assert len(SECRET) == 64

PROFILES = ["strict", "compat"]


def keyed(profile):
    """The client_id of the client with the keys."""
    return f"keyed-{profile}"


def secretive(profile):
    """The client_id of the client with the secret."""
    return f"secretive-{profile}"


def tables():
    """The TOML lines."""
    keys = ", ".join(
        "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in key.as_dict(private=False).items()) + " }"
        for key in KEYS.values()
    )
    for profile in PROFILES:
        shared = [f'profile = "{profile}"', 'scope = "read write"', 'access_token_signing_alg = "ES256"']
        yield "\n".join(
            [
                "[[clients]]",
                f'client_id = "{keyed(profile)}"',
                'token_endpoint_auth_method = "private_key_jwt"',
                f"jwks = {{ keys = [{keys}] }}",
                *shared,
            ]
        )
        yield "\n".join(
            [
                "[[clients]]",
                f'client_id = "{secretive(profile)}"',
                f'client_secret = "{SECRET}"',
                'token_endpoint_auth_method = "client_secret_jwt"',
                *shared,
            ]
        )
