"""Client libraries prove who they are with an assertion: private_key_jwt and client_secret_jwt (RFC 7523)."""

import time
import uuid

import grpc
import jwt
import pytest
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT
from google.protobuf import json_format
from joserfc import jwt as jose
from joserfc.jwk import OctKey
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests_oauthlib import OAuth2Session as RequestsSession

import mintage_server
import reflection
from keyed_clients import JWT_BEARER, KEYS, SECRET, keyed, secretive, tables
from test_node import run_node


@pytest.fixture(scope="module")
def server():
    with mintage_server.temporary_directory() as directory:
        running = mintage_server.Server.start(directory, list(tables()))
        try:
            yield running
            assert running.stop() == 0, running.log.read_text()
        finally:
            running.kill()


@pytest.fixture(scope="module")
def discovery(server):
    return requests.get(f"{server.url}/.well-known/oauth-authorization-server", timeout=10).json()


@pytest.fixture(autouse=True)
def plain_http(monkeypatch):
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def private_pem(algorithm):
    return KEYS[algorithm].as_pem(private=True).decode()


def claims(client_id, audience, **others):
    now = int(time.time())
    return {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60} | {
        "jti": str(uuid.uuid4()),
        **others,
    }


def authlib(client_id, key, method):
    """A session as Authlib documents it. Its assertions are for the token endpoint and live an hour; it takes a text for the
    PEM of an RSA key, and any other key as an object."""
    session = AuthlibSession(client_id, key, token_endpoint_auth_method=method.name)
    session.register_client_auth_method(method)
    return session


@pytest.mark.parametrize("algorithm", KEYS)
def test_authlib_signs_with_a_private_key(algorithm, discovery):
    method = PrivateKeyJWT(discovery["token_endpoint"], alg=algorithm, headers={"kid": KEYS[algorithm].kid})
    with authlib(keyed("compat"), KEYS[algorithm], method) as session:
        token = session.fetch_token(discovery["token_endpoint"], grant_type="client_credentials")
        assert token["token_type"] == "Bearer" and token["scope"] == "read write"
        answer = session.introspect_token(discovery["introspection_endpoint"], token=token["access_token"])
        assert answer.json()["active"] is True and answer.json()["client_id"] == keyed("compat")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_authlib_signs_with_the_secret(algorithm, discovery):
    method = ClientSecretJWT(discovery["token_endpoint"], alg=algorithm)
    with authlib(secretive("compat"), SECRET, method) as session:
        token = session.fetch_token(discovery["token_endpoint"], grant_type="client_credentials")
        answer = session.introspect_token(discovery["introspection_endpoint"], token=token["access_token"])
        assert answer.json()["active"] is True and answer.json()["client_id"] == secretive("compat")


def test_authlib_needs_compat(discovery):
    method = PrivateKeyJWT(discovery["token_endpoint"], alg="ES256", headers={"kid": "es256"})
    with authlib(keyed("strict"), KEYS["ES256"], method) as session:
        with pytest.raises(OAuthError) as refusal:
            session.fetch_token(discovery["token_endpoint"], grant_type="client_credentials")
    assert refusal.value.error == "invalid_client"


@pytest.mark.parametrize("algorithm", KEYS)
def test_requests_oauthlib_sends_what_pyjwt_signed(algorithm, server, discovery):
    client_id = keyed("strict")
    assertion = jwt.encode(
        claims(client_id, server.url), private_pem(algorithm), algorithm, headers={"kid": KEYS[algorithm].kid}
    )
    sent = {"client_assertion_type": JWT_BEARER, "client_assertion": assertion}
    with RequestsSession(client=BackendApplicationClient(client_id, scope=["read"])) as session:
        token = session.fetch_token(discovery["token_endpoint"], include_client_id=True, **sent)
        assert token["scope"] == ["read"]
        with pytest.raises(OAuth2Error) as replay:
            session.fetch_token(discovery["token_endpoint"], include_client_id=True, **sent)
    assert replay.value.error == "invalid_client"


@pytest.mark.parametrize("algorithm", [*KEYS, "HS256", "HS512"])
def test_joserfc_signs_for_grpcio(algorithm, server):
    client_id = keyed("strict") if algorithm in KEYS else secretive("strict")
    key = KEYS.get(algorithm) or OctKey.import_key(SECRET)
    header = {"alg": algorithm} | ({"kid": key.kid} if algorithm in KEYS else {})

    def signed():
        assertion = jose.encode(header, claims(client_id, [server.url]), key, algorithms=[algorithm])
        return {"clientAssertion": {"clientAssertionType": JWT_BEARER, "clientAssertion": assertion}}

    with reflection.connect(server.address) as channel:
        services = reflection.Services(channel)

        def call(method, request):
            function, message = services.prepare(services.method(f"mintage.token.v1.TokenService/{method}"))
            return function(json_format.ParseDict(request, message()), timeout=10)

        authentication = signed()
        token = call("Issue", authentication)
        with pytest.raises(grpc.RpcError) as replay:
            call("Issue", authentication)
        assert replay.value.code() == grpc.StatusCode.UNAUTHENTICATED
        answer = call("Introspect", {"token": token.access_token, **signed()})
        assert answer.active and answer.client_id == client_id


NODE_CHECKS = [*(f"private-key-{algorithm}" for algorithm in KEYS), "secret-HS256"]


@pytest.mark.parametrize("check", NODE_CHECKS)
def test_openid_client(check, server):
    interop = {
        "url": server.url,
        "keyed": keyed("strict"),
        "keys": {algorithm: key.as_dict(private=True) for algorithm, key in KEYS.items()},
        "secretive": secretive("strict"),
        "secret": SECRET,
    }
    result = run_node(interop, "assertions.mjs", check)
    assert result.returncode == 0, result.stdout + result.stderr
