"""grpcio calls every method by reflection, over the port that also serves REST."""

import base64
import json
import time

import grpc
import jwt
import pytest
import requests
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

import reflection
from mintage_server import ALGORITHMS, AUDIENCE, INTROSPECTOR, LIFETIME, client

SERVICE = "mintage.token.v1.TokenService"
KEYS = "mintage.token.v1.KeyService"
CLIENT_ADMIN = "mintage.admin.v1.ClientService"
KEY_ADMIN = "mintage.admin.v1.SigningKeyService"


@pytest.fixture(scope="module")
def channel(server):
    with reflection.connect(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def call(channel):
    """Calls a method with a request given as JSON, and returns the answer as a message."""
    return caller(channel)


def caller(channel, default=SERVICE):
    services = reflection.Services(channel)

    def run(method, request, metadata=(), service=default, **options):
        function, message = services.prepare(services.method(f"{service}/{method}"))
        return function(json_format.ParseDict(request, message()), metadata=metadata, timeout=10, **options)

    return run


def secret(credentials):
    return {"client_secret": dict(zip(["client_id", "client_secret"], credentials))}


def basic(credentials):
    joined = ":".join(credentials).encode()
    return [("authorization", f"Basic {base64.b64encode(joined).decode()}")]


def test_reflection_lists_the_services(channel):
    services = reflection.Services(channel)
    assert {SERVICE, KEYS, "grpc.health.v1.Health"} <= set(services.names())
    assert not {CLIENT_ADMIN, KEY_ADMIN} & set(services.names())
    methods = services.pool.FindServiceByName(SERVICE).methods_by_name
    assert {"Issue", "Introspect", "BatchIntrospect", "Revoke", "UserInfo"} <= set(methods)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_versions_of_reflection_answer(version, channel):
    # The two versions differ in nothing but the name of the package.
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
    assert SERVICE in {service.name for service in next(answers).list_services_response.service}


@pytest.mark.parametrize("service", ["", SERVICE, KEYS])
def test_health_is_serving(service, channel):
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_issue_and_introspect(algorithm, call):
    credentials = client(algorithm)
    issued = call("Issue", {"client_credentials": {}, "scopes": ["read"], **secret(credentials)})
    assert issued.token_type == "Bearer" and issued.expires_in.seconds == LIFETIME
    assert list(issued.scopes) == ["read"] and list(issued.audiences) == [AUDIENCE]
    claims = jwt.decode(issued.access_token, options={"verify_signature": False})
    assert jwt.get_unverified_header(issued.access_token)["alg"] == algorithm
    assert issued.token_id == claims["jti"] and issued.expire_time.seconds == claims["exp"]

    answer = call("Introspect", {"token": issued.access_token}, metadata=basic(credentials))
    assert answer.active and answer.client_id == answer.subject == credentials[0]
    assert list(answer.scopes) == ["read"] and answer.expire_time.seconds == claims["exp"]
    assert json.loads(answer.claims_json) == claims
    assert answer.claims["jti"] == claims["jti"]


def test_basic_metadata_authenticates_and_gzip_is_understood(call):
    issued = call("Issue", {}, metadata=basic(client("PS256")), compression=grpc.Compression.Gzip)
    assert issued.access_token


def test_batch_introspect_answers_in_order(call, token_of):
    requests = [{"token": token_of("RS256")}, {"token": "no.such.token"}, {"token": token_of("HS256")}]
    answer = call("BatchIntrospect", {"requests": requests, **secret(INTROSPECTOR)})
    assert [item.active for item in answer.responses] == [True, False, True]
    assert answer.responses[0].client_id == client("RS256")[0]
    assert answer.responses[2].client_id == client("HS256")[0]
    assert json_format.MessageToDict(answer.responses[1]) == {}, "an inactive token says nothing else"


@pytest.mark.parametrize("place", ["field", "metadata"])
def test_userinfo(place, call, token_of):
    token = token_of("EdDSA")
    if place == "field":
        answer = call("UserInfo", {"access_token": token})
    else:
        answer = call("UserInfo", {}, metadata=[("authorization", f"Bearer {token}")])
    assert answer.subject == client("EdDSA")[0]
    assert (answer.name, answer.email, answer.fhir_user) == ("Interop", "interop@example.com", "Practitioner/7")
    assert json.loads(answer.claims_json)["fhirUser"] == "Practitioner/7"


@pytest.mark.parametrize(
    ("method", "request_json", "status", "oauth_error"),
    [
        ("Issue", secret((client("RS256")[0], "wrong")), "UNAUTHENTICATED", "invalid_client"),
        ("Issue", secret(("nobody", "wrong")), "UNAUTHENTICATED", "invalid_client"),
        ("Issue", {"scopes": ["admin"], **secret(client("RS256"))}, "INVALID_ARGUMENT", "invalid_scope"),
        ("Issue", {"resources": ["https://elsewhere.example"], **secret(client("RS256"))}, "INVALID_ARGUMENT", "invalid_target"),
        ("Issue", secret(INTROSPECTOR), "PERMISSION_DENIED", "unauthorized_client"),
        ("Introspect", {"token": "x", **secret((INTROSPECTOR[0], "wrong"))}, "UNAUTHENTICATED", "invalid_client"),
        ("BatchIntrospect", secret(INTROSPECTOR), "INVALID_ARGUMENT", "invalid_request"),
        ("Revoke", {"token": "x", **secret((client("RS256")[0], "wrong"))}, "UNAUTHENTICATED", "invalid_client"),
        ("UserInfo", {"access_token": "no.such.token"}, "UNAUTHENTICATED", "invalid_token"),
    ],
)
def test_a_refusal_says_why(method, request_json, status, oauth_error, call):
    with pytest.raises(grpc.RpcError) as refusal:
        call(method, request_json)
    error = refusal.value
    assert error.code() == grpc.StatusCode[status], error.details()
    assert dict(error.trailing_metadata())["oauth-error"] == oauth_error
    rich = rpc_status.from_call(error)
    assert rich.code == code_pb2.Code.Value(status)
    infos = [detail for detail in rich.details if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1
    info = error_details_pb2.ErrorInfo()
    infos[0].Unpack(info)
    assert (info.reason, info.domain) == (oauth_error.upper(), "mintage")
    assert info.metadata["oauth_error"] == oauth_error
    assert "wrong" not in str(rich)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_revoke(algorithm, call, server, token_of):
    token, other = token_of(algorithm), token_of(algorithm)
    answer = call("Revoke", {"token": token, **secret(client(algorithm))})
    assert json_format.MessageToDict(answer) == {}
    assert not server.is_active(token) and server.is_active(other)
    call("Revoke", {"token": token}, metadata=basic(client(algorithm)))


def test_the_key_set_is_the_document(call, discovery):
    answer = call("GetJwks", {}, service=KEYS)
    document = requests.get(discovery["jwks_uri"], timeout=10)
    assert answer.jwks_json == document.content
    assert f"max-age={answer.max_age.seconds}" in document.headers["Cache-Control"]
    listed = [json_format.MessageToDict(key) for key in answer.keys]
    assert listed == document.json()["keys"]
    assert len(jwt.PyJWKSet.from_json(answer.jwks_json.decode()).keys) == len(ALGORITHMS) - 1


def test_the_key_set_is_followed(call):
    stream = call("WatchJwks", {}, service=KEYS)
    first = next(stream)
    stream.cancel()
    assert first.jwks_json == call("GetJwks", {}, service=KEYS).jwks_json and first.keys


def test_a_revocation_is_seen_in_the_stream(call, token_of):
    token, issuing = token_of("RS256"), client("RS256")
    token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
    stream = call("WatchRevocations", {"heartbeat_interval": "1s", **secret(INTROSPECTOR)}, service=KEYS)
    first = next(stream)
    assert first.reset
    known, cursor = {revocation.token_id for revocation in first.revocations}, first.cursor
    while not first.caught_up:
        first = next(stream)
    assert token_id not in known

    call("Revoke", {"token": token, **secret(issuing)})
    begun = time.monotonic()
    seen = next(message for message in stream if any(entry.token_id == token_id for entry in message.revocations))
    assert time.monotonic() - begun < 2 and not seen.reset and seen.cursor != cursor
    # When there is nothing to tell, the server says so.
    assert not next(stream).revocations
    stream.cancel()

    # Whoever comes again goes on where he was.
    stream = call("WatchRevocations", {"cursor": cursor, **secret(INTROSPECTOR)}, service=KEYS)
    again = next(stream)
    assert not again.reset and token_id in {entry.token_id for entry in again.revocations}
    stream.cancel()


def test_revocations_are_not_for_everybody(call):
    with pytest.raises(grpc.RpcError) as refusal:
        next(call("WatchRevocations", secret(client("RS256")), service=KEYS))
    assert refusal.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert dict(refusal.value.trailing_metadata())["oauth-error"] == "unauthorized_client"


@pytest.fixture(scope="module")
def admin(server, administrator):
    """Calls an admin service on the ops listener with the token of an administrator."""
    token = server.token(administrator, scope="mintage:admin")
    with reflection.connect(server.ops_address) as channel:
        run = caller(channel, CLIENT_ADMIN)
        yield lambda method, request, service=CLIENT_ADMIN, metadata=(("authorization", f"Bearer {token}"),): run(
            method, request, metadata, service
        )


def test_a_client_is_managed(admin, server):
    wanted = {"client_id": "managed", "scope": "read", "audiences": [AUDIENCE], "access_token_signing_alg": "ES256"}
    created = admin("CreateClient", {"client": wanted})
    token = server.token(("managed", created.client_secret))
    assert server.is_active(token)
    added = admin("AddClientSecret", {"client_id": "managed"})
    assert server.is_active(server.token(("managed", added.client_secret)))
    listed = admin("ListClients", {"filter": 'client_id = "managed"'})
    assert [entry.client_id for entry in listed.clients] == ["managed"]
    assert created.client_secret not in str(listed)

    admin("RevokeClientTokens", {"client_id": "managed"})
    assert not server.is_active(token)
    updated = admin("UpdateClient", {"client": {"client_id": "managed", "enabled": False}, "update_mask": "enabled"})
    assert updated.client.enabled is False
    answer = requests.post(
        f"{server.url}/token",
        data={"grant_type": "client_credentials"},
        auth=("managed", created.client_secret),
        timeout=10,
    )
    assert answer.status_code == 401
    admin("DeleteClient", {"client_id": "managed"})
    with pytest.raises(grpc.RpcError) as refusal:
        admin("GetClient", {"client_id": "managed"})
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND


def test_signing_keys_are_managed(admin, server):
    keys = admin("ListSigningKeys", {}, service=KEY_ADMIN).signing_keys
    assert {key.alg for key in keys} == set(ALGORITHMS) - {"HS256"}
    prepared = admin("PrepareSigningKey", {"alg": "EdDSA"}, service=KEY_ADMIN).signing_key
    assert prepared.kid not in server.key_ids()
    published = admin("PublishSigningKey", {"kid": prepared.kid}, service=KEY_ADMIN).signing_key
    assert published.kid == prepared.kid and prepared.kid in server.key_ids()
    retired = admin("RetireSigningKey", {"kid": prepared.kid}, service=KEY_ADMIN).signing_key
    assert json_format.MessageToDict(retired)["state"] == "SIGNING_KEY_STATE_RETIRED"
    with pytest.raises(grpc.RpcError) as refusal:
        admin("RetireSigningKey", {"kid": "none"}, service=KEY_ADMIN)
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("service", [CLIENT_ADMIN, KEY_ADMIN])
def test_the_admin_services_are_closed(service, admin, administrator, server, token_of):
    method = "ListClients" if service == CLIENT_ADMIN else "ListSigningKeys"
    bearer = lambda token: (("authorization", f"Bearer {token}"),)
    for metadata, status in [
        ((), "UNAUTHENTICATED"),
        # For another audience than this server.
        (bearer(token_of("RS256")), "UNAUTHENTICATED"),
        (bearer(server.token(administrator, scope="read")), "PERMISSION_DENIED"),
    ]:
        with pytest.raises(grpc.RpcError) as refusal:
            admin(method, {}, service, metadata)
        assert refusal.value.code() == grpc.StatusCode[status]
