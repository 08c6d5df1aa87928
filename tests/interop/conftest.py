import pytest

import mintage_server


@pytest.fixture(scope="session")
def server():
    with mintage_server.temporary_directory() as directory:
        running = mintage_server.Server.start(directory)
        try:
            yield running
            code = running.stop()
            assert code == 0, f"mintage ended with {code} after SIGTERM:\n{running.log.read_text()}"
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
def token_of(discovery):
    """Issues a token for the client that signs with an algorithm, with nothing but an HTTP library."""
    import requests

    def issue(algorithm):
        response = requests.post(
            discovery["token_endpoint"],
            data={"grant_type": "client_credentials"},
            auth=mintage_server.client(algorithm),
            timeout=10,
        )
        assert response.status_code == 200, response.text
        return response.json()["access_token"]

    return issue
