"""JOSE libraries verify a token of every algorithm: signature, typ, iss, aud, exp."""

import time

import jwt
import pytest
import requests
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError

from mintage_server import ALGORITHMS, AUDIENCE, JWT_SECRET, LIFETIME, SCOPE, client

REQUIRED = ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id"]


def tampered(token):
    """The same token with one claim changed and its signature kept."""
    import base64
    import json

    header, claims, signature = token.split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    decoded["scope"] = "admin"
    changed = base64.urlsafe_b64encode(json.dumps(decoded).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"


def check_claims(claims, algorithm):
    client_id, _ = client(algorithm)
    assert claims["sub"] == claims["client_id"] == claims["azp"] == client_id
    assert claims["scope"] == SCOPE and claims["scp"] == SCOPE.split()
    assert claims["exp"] - claims["iat"] == LIFETIME
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["fhirUser"] == "Practitioner/7"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pyjwt_verifies(algorithm, discovery, token_of):
    token = token_of(algorithm)
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt" and header["alg"] == algorithm
    key = JWT_SECRET if algorithm == "HS256" else jwt.PyJWKClient(discovery["jwks_uri"]).get_signing_key_from_jwt(token).key
    expected = {"algorithms": [algorithm], "issuer": discovery["issuer"], "options": {"require": REQUIRED}}

    check_claims(jwt.decode(token, key, audience=AUDIENCE, **expected), algorithm)
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, audience="https://elsewhere.example", **expected)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(tampered(token), key, audience=AUDIENCE, **expected)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_joserfc_verifies(algorithm, discovery, token_of):
    token = token_of(algorithm)
    if algorithm == "HS256":
        key = joserfc_jwk.OctKey.import_key(JWT_SECRET)
    else:
        key = joserfc_jwk.KeySet.import_key_set(requests.get(discovery["jwks_uri"], timeout=10).json())
    decoded = joserfc_jwt.decode(token, key, algorithms=[algorithm])
    assert decoded.header["typ"] == "at+jwt"
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": discovery["issuer"]},
        aud={"essential": True, "value": AUDIENCE},
        exp={"essential": True},
    )
    registry.validate(decoded.claims)
    check_claims(decoded.claims, algorithm)
    with pytest.raises(JoseError):
        joserfc_jwt.decode(tampered(token), key, algorithms=[algorithm])


def test_the_published_keys_are_public_and_named_by_their_thumbprint(discovery):
    keys = requests.get(discovery["jwks_uri"], timeout=10).json()["keys"]
    assert {key["alg"] for key in keys} == set(ALGORITHMS) - {"HS256"}
    for key in keys:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys()
        assert joserfc_jwk.import_key(key).thumbprint() == key["kid"]
