"""The process itself: ready when it says so, gone when it is told to go."""

import requests

import mintage_server


def test_sigterm_ends_the_server_with_exit_code_0():
    with mintage_server.temporary_directory() as directory:
        server = mintage_server.Server.start(directory)
        try:
            # A connection that is kept open must not hold the server back.
            with requests.Session() as session:
                assert session.get(f"{server.url}/healthz", timeout=10).status_code == 200
                assert server.stop() == 0, server.log.read_text()
        finally:
            server.kill()


def test_the_log_holds_no_secret_and_no_token(server, token_of):
    token = token_of("RS256")
    log = server.log.read_text()
    assert log, "the server has logged nothing"
    assert mintage_server.JWT_SECRET not in log
    assert mintage_server.client("RS256")[1] not in log
    assert token not in log and token.rsplit(".", 1)[1] not in log
