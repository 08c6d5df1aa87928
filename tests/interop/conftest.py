import pytest

import mintage_server


@pytest.fixture(scope="session")
def server():
    with mintage_server.temporary_directory() as directory:
        running = mintage_server.Server.start(directory, ["admin.registration = true"])
        try:
            yield running
            code = running.stop()
            assert code == 0, f"mintage ended with {code} after SIGTERM:\n{running.log.read_text()}"
        finally:
            running.kill()


@pytest.fixture(scope="session")
def nonce_server():
    """A server that asks for nonces in DPoP proofs (RFC 9449 section 8)."""
    with mintage_server.temporary_directory() as directory:
        running = mintage_server.Server.start(directory, ['dpop.nonce = "required"'])
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture(scope="session")
def discovery(server):
    """The authorization server's metadata, as every client begins."""
    import requests

    response = requests.get(f"{server.url}/.well-known/oauth-authorization-server", timeout=10)
    response.raise_for_status()
    return response.json()


@pytest.fixture(scope="session")
def token_of(server):
    """Issues a token for the client that signs with an algorithm, with nothing but an HTTP library."""
    return lambda algorithm: server.token(mintage_server.client(algorithm))


@pytest.fixture(scope="session")
def administrator(server):
    """The credentials of a client that was made on the command line and may administer the server."""
    made = server.command("client", "create", "--client-id", "operator", "--admin", "--scope", "read mintage:register")
    return "operator", made["client_secret"]
