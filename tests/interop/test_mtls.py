"""Clients prove who they are with a certificate (RFC 8705), made and presented by software that nobody here wrote."""

import base64
import hashlib
import json
import pathlib
import ssl
import subprocess

import grpc
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jwk

import certificates
import mintage_server
import reflection
from test_node import run_node

INTROSPECTOR = mintage_server.INTROSPECTOR
METHODS = ["tls_client_auth", "self_signed_tls_client_auth", "spiffe_x509"]


class World:
    """A server that asks for certificates, and a client with one for each method."""

    def __init__(self, directory):
        self.directory = directory
        self.authority = certificates.Authority(directory)
        subject = [
            (NameOID.COUNTRY_NAME, "DE"),
            (NameOID.ORGANIZATION_NAME, "Example, Inc."),
            (NameOID.COMMON_NAME, "billing"),
        ]
        svid = [x509.UniformResourceIdentifier("spiffe://example.org/billing")]
        *own, certificate = certificates.self_signed(directory, "own")
        self.pairs = {
            "tls_client_auth": self.authority.client("issued", subject),
            "self_signed_tls_client_auth": tuple(own),
            "spiffe_x509": self.authority.client("svid", [], svid),
        }
        self.certificate, self.key = self.authority.server()
        self.registered = jwk.ECKey.import_key(own[0].read_bytes()).as_dict(private=False)
        self.registered["x5c"] = [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]

    def settings(self):
        """The subject is written as openssl prints it, and the identifier of a client is the name of its method."""
        issued = self.pairs["tls_client_auth"][0]
        printed = ["openssl", "x509", "-in", issued, "-noout", "-subject", "-nameopt", "RFC2253"]
        subject = subprocess.run(printed, capture_output=True, text=True, check=True).stdout
        subject = subject.strip().removeprefix("subject=")
        key = ", ".join(f"{name} = {json.dumps(value)}" for name, value in self.registered.items())
        members = {
            "tls_client_auth": f"tls_client_auth_subject_dn = '{subject}'",
            "self_signed_tls_client_auth": f"jwks = {{ keys = [{{ {key} }}] }}",
            "spiffe_x509": 'spiffe_id = "spiffe://example.org/*"',
        }
        yield "[tls]"
        yield f'cert_file = "{self.certificate}"'
        yield f'key_file = "{self.key}"'
        yield f'client_ca_file = "{self.authority.file}"'
        yield 'client_auth = "optional"'
        yield '[spiffe.trust_domains."example.org"]'
        yield f'x509_bundle_file = "{self.authority.file}"'
        for method, member in members.items():
            yield "[[clients]]"
            yield f'client_id = "{method}"'
            yield f'token_endpoint_auth_method = "{method}"'
            yield "tls_client_certificate_bound_access_tokens = true"
            yield 'access_token_signing_alg = "ES256"'
            yield 'scope = "read"'
            yield member

    def thumbprint(self, method):
        der = ssl.PEM_cert_to_DER_cert(self.pairs[method][0].read_text())
        return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def world():
    with mintage_server.temporary_directory() as directory:
        directory = pathlib.Path(directory)
        (directory / "files").mkdir()
        world = World(directory / "files")
        running = mintage_server.Server.start(directory, list(world.settings()), authority=world.authority.file)
        world.server = running
        try:
            yield world
            assert running.stop() == 0, running.log.read_text()
        finally:
            running.kill()


def check(world, method, token):
    """The token is bound to the certificate, and worth nothing without it."""
    url, verify = world.server.url, world.server.verify
    answer = requests.post(
        f"{url}/introspect", data={"token": token}, auth=INTROSPECTOR, verify=verify, timeout=10
    ).json()
    assert answer["client_id"] == method
    assert answer["cnf"] == {"x5t#S256": world.thumbprint(method)}
    headers = {"Authorization": f"Bearer {token}"}
    pair = tuple(map(str, world.pairs[method]))
    with_it = requests.get(f"{url}/userinfo", headers=headers, cert=pair, verify=verify, timeout=10)
    assert with_it.status_code == 200 and with_it.json()["sub"] == method
    without = requests.get(f"{url}/userinfo", headers=headers, verify=verify, timeout=10)
    assert without.status_code == 401 and 'error="invalid_token"' in without.headers["WWW-Authenticate"]


def test_discovery(world):
    url = f"{world.server.url}/.well-known/oauth-authorization-server"
    document = requests.get(url, verify=world.server.verify, timeout=10).json()
    assert set(METHODS) <= set(document["token_endpoint_auth_methods_supported"])
    assert document["mtls_endpoint_aliases"]["token_endpoint"] == f"{world.server.url}/token"


@pytest.mark.parametrize("method", METHODS)
def test_curl(world, method):
    certificate, key = world.pairs[method]
    data = f"grant_type=client_credentials&client_id={method}"
    curl = ["curl", "-sS", "--noproxy", "*", "--cacert", world.server.verify, "-d", data]
    ask = [*curl, "--cert", certificate, "--key", key, f"{world.server.url}/token"]
    answer = json.loads(subprocess.run(ask, capture_output=True, text=True, check=True, timeout=30).stdout)
    check(world, method, answer["access_token"])
    # Another's certificate.
    certificate, key = world.pairs[METHODS[METHODS.index(method) - 1]]
    ask = [*curl, "--cert", certificate, "--key", key, f"{world.server.url}/token"]
    answer = json.loads(subprocess.run(ask, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert answer["error"] == "invalid_client"


@pytest.mark.parametrize("method", METHODS)
def test_authlib(world, method):
    # It has no name for these methods; `none` is how it sends nothing but the client_id.
    session = AuthlibSession(method, token_endpoint_auth_method="none")
    session.cert, session.verify = tuple(map(str, world.pairs[method])), world.server.verify
    session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
    token = session.fetch_token(f"{world.server.url}/token", grant_type="client_credentials", scope="read")
    check(world, method, token["access_token"])


@pytest.mark.parametrize("method", METHODS)
def test_grpcio(world, method):
    certificate, key = (path.read_bytes() for path in world.pairs[method])
    credentials = grpc.ssl_channel_credentials(world.authority.file.read_bytes(), key, certificate)
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(world.server.address, credentials, options=options) as channel:
        services = reflection.Services(channel)

        def call(name, **message):
            function, request = services.prepare(services.method(f"mintage.token.v1.TokenService/{name}"))
            return function(request(**message), timeout=10)

        token = call("Issue", client_id=method, scopes=["read"]).access_token
        check(world, method, token)
        answer = call("Introspect", client_id=method, token=token)
        assert answer.active and answer.confirmation.x5t_s256 == world.thumbprint(method)
        assert call("UserInfo", access_token=token).subject == method
        with pytest.raises(grpc.RpcError) as nobody:
            call("Issue", scopes=["read"])
        assert nobody.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        call("Revoke", client_id=method, token=token)
        assert not call("Introspect", client_id=method, token=token).active
    # Without the certificate the token is worth nothing over gRPC either.
    credentials = grpc.ssl_channel_credentials(world.authority.file.read_bytes())
    with grpc.secure_channel(world.server.address, credentials, options=options) as channel:
        services = reflection.Services(channel)
        function, request = services.prepare(services.method("mintage.token.v1.TokenService/UserInfo"))
        with pytest.raises(grpc.RpcError) as refused:
            function(request(access_token=token), timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", METHODS)
def test_openid_client(world, method):
    certificate, key = world.pairs[method]
    interop = {
        "url": world.server.url,
        "clientId": method,
        "ca": world.authority.file.read_text(),
        "cert": certificate.read_text(),
        "key": key.read_text(),
        "thumbprint": world.thumbprint(method),
    }
    result = run_node(interop, "mtls.mjs")
    assert result.returncode == 0, result.stdout + result.stderr
