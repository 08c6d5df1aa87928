"""grpcio calls every method by reflection, over the port that also serves REST."""

import base64
import json

import grpc
import jwt
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2, error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

import reflection
from mintage_server import ALGORITHMS, AUDIENCE, INTROSPECTOR, LIFETIME, client

SERVICE = "mintage.token.v1.TokenService"


@pytest.fixture(scope="module")
def channel(server):
    with reflection.connect(server.address) as channel:
        yield channel


@pytest.fixture(scope="module")
def call(channel):
    """Calls a method with a request given as JSON, and returns the answer as a message."""
    services = reflection.Services(channel)

    def run(method, request, metadata=(), **options):
        function, message = services.prepare(services.method(f"{SERVICE}/{method}"))
        return function(json_format.ParseDict(request, message()), metadata=metadata, timeout=10, **options)

    return run


def secret(credentials):
    return {"client_secret": dict(zip(["client_id", "client_secret"], credentials))}


def basic(credentials):
    joined = ":".join(credentials).encode()
    return [("authorization", f"Basic {base64.b64encode(joined).decode()}")]


def test_reflection_lists_the_services(channel):
    services = reflection.Services(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(services.names())
    methods = services.pool.FindServiceByName(SERVICE).methods_by_name
    assert {"Issue", "Introspect", "BatchIntrospect", "UserInfo"} <= set(methods)


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


@pytest.mark.parametrize("service", ["", SERVICE])
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
