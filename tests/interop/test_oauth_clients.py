"""OAuth client libraries obtain a token, introspect it and revoke it."""

import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.integrations.base_client.errors import OAuthError
from oauthlib.oauth2 import BackendApplicationClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session as RequestsSession

from mintage_server import ALGORITHMS, AUDIENCE, INTROSPECTOR, LIFETIME, SCOPE, client

METHODS = ["client_secret_basic", "client_secret_post"]


@pytest.fixture(autouse=True)
def plain_http(monkeypatch):
    # requests-oauthlib refuses plain HTTP unless told that this is a test.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def check_response(token, scope=SCOPE):
    assert token["token_type"] == "Bearer" and token["expires_in"] == LIFETIME
    assert token["access_token"].count(".") == 2
    assert " ".join(token["scope"]) == scope if isinstance(token["scope"], list) else token["scope"] == scope


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_authlib_obtains_and_introspects_a_token(method, algorithm, discovery):
    client_id, client_secret = client(algorithm)
    with AuthlibSession(client_id, client_secret, token_endpoint_auth_method=method) as session:
        token = session.fetch_token(discovery["token_endpoint"], grant_type="client_credentials")
        check_response(token)
        answer = session.introspect_token(discovery["introspection_endpoint"], token=token["access_token"])
        assert answer.status_code == 200
        assert answer.json()["active"] is True and answer.json()["client_id"] == client_id
        assert answer.json()["aud"] in (AUDIENCE, [AUDIENCE])


@pytest.mark.parametrize("method", METHODS)
def test_authlib_introspects_as_a_resource_server(method, discovery, token_of):
    with AuthlibSession(*INTROSPECTOR, token_endpoint_auth_method=method) as session:
        ask = lambda token: session.introspect_token(discovery["introspection_endpoint"], token=token).json()
        assert ask(token_of("ES256"))["active"] is True
        assert ask("no.such.token") == {"active": False}


@pytest.mark.parametrize("method", METHODS)
def test_authlib_reads_a_refusal(method, discovery):
    with AuthlibSession(client("RS256")[0], "wrong", token_endpoint_auth_method=method) as session:
        with pytest.raises(OAuthError) as refusal:
            session.fetch_token(discovery["token_endpoint"], grant_type="client_credentials")
    assert refusal.value.error == "invalid_client"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_requests_oauthlib_obtains_a_token_and_uses_it(method, algorithm, discovery):
    client_id, client_secret = client(algorithm)
    how = (
        {"auth": HTTPBasicAuth(client_id, client_secret)}
        if method == "client_secret_basic"
        else {"client_id": client_id, "client_secret": client_secret, "include_client_id": True}
    )
    with RequestsSession(client=BackendApplicationClient(client_id, scope=["read"])) as session:
        token = session.fetch_token(discovery["token_endpoint"], **how)
        check_response(token, "read")
        claims = session.get(discovery["userinfo_endpoint"], timeout=10)
        assert claims.status_code == 200 and claims.json()["sub"] == client_id


def test_requests_oauthlib_reads_a_refusal(discovery):
    client_id, client_secret = client("RS256")
    with RequestsSession(client=BackendApplicationClient(client_id, scope=["admin"])) as session:
        with pytest.raises(OAuth2Error) as refusal:
            session.fetch_token(discovery["token_endpoint"], auth=HTTPBasicAuth(client_id, client_secret))
    assert refusal.value.error == "invalid_scope"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_authlib_revokes_a_token(method, algorithm, discovery, server):
    client_id, client_secret = client(algorithm)
    with AuthlibSession(client_id, client_secret, revocation_endpoint_auth_method=method) as session:
        token, other = server.token((client_id, client_secret)), server.token((client_id, client_secret))
        for _ in range(2):
            # The second time there is nothing left to do, and that is no error (RFC 7009 section 2.2).
            answer = session.revoke_token(discovery["revocation_endpoint"], token=token, token_type_hint="access_token")
            assert answer.status_code == 200, answer.text
            assert not server.is_active(token) and server.is_active(other)


def test_authlib_cannot_revoke_the_token_of_another_client(discovery, server, token_of):
    token = token_of("RS256")
    with AuthlibSession(*client("ES256")) as session:
        answer = session.revoke_token(discovery["revocation_endpoint"], token=token)
    assert answer.status_code == 400 and answer.json()["error"] == "unauthorized_client"
    assert server.is_active(token)


@pytest.mark.parametrize("method", METHODS)
def test_oauthlib_prepares_a_revocation(method, discovery, server, token_of):
    # requests-oauthlib has no method that sends it, so requests does.
    client_id, client_secret = client("PS256")
    is_basic = method == "client_secret_basic"
    extra = {} if is_basic else {"client_id": client_id, "client_secret": client_secret}
    for hint in ["access_token", "refresh_token"]:
        token = token_of("PS256")
        url, headers, body = BackendApplicationClient(client_id).prepare_token_revocation_request(
            discovery["revocation_endpoint"], token, token_type_hint=hint, **extra
        )
        auth = HTTPBasicAuth(client_id, client_secret) if is_basic else None
        answer = requests.post(url, data=body, headers=headers, auth=auth, timeout=10)
        assert answer.status_code == 200, answer.text
        assert not server.is_active(token)


def test_both_metadata_documents_name_the_same_endpoints(server, discovery):
    openid = requests.get(f"{server.url}/.well-known/openid-configuration", timeout=10).json()
    assert openid["issuer"] == discovery["issuer"] == server.url
    for endpoint in ["token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"]:
        assert openid[endpoint] == discovery[endpoint]
