"""Starts and stops the built binary, and says who its clients are."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

import requests

ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256"]
AUDIENCE = "https://api.example"
SCOPE = "read write"
JWT_SECRET = "interop-tests-know-this-key-and-nobody-else-should"
LIFETIME = 600

# One client per algorithm: half of them with a secret as mintage generates it, half with one somebody chose.
GENERATED_SECRET = "mint_" + "interop" * 6 + "0"
INTROSPECTOR = ("resource-server", "rs-secret")
# Everything that has to be form-encoded before it goes into a Basic header (RFC 6749 section 2.3.1).
AWKWARD = ("billing:eu west", "100% s:cret+/=&")

START_TIMEOUT = 30
STOP_TIMEOUT = 20


def client(algorithm):
    """The client_id and the client_secret of the client that signs with this algorithm."""
    chosen = ALGORITHMS.index(algorithm) % 2
    return f"client-{algorithm.lower()}", f"secret of {algorithm}" if chosen else GENERATED_SECRET


def configuration(directory, port, ops_port, issuer, settings, lifetime):
    def table(client_id, client_secret, *members):
        return "\n".join(
            ["[[clients]]", f'client_id = "{client_id}"', f'client_secret = "{client_secret}"', *members, ""]
        )

    machine = [
        f'scope = "{SCOPE}"',
        f'audiences = ["{AUDIENCE}"]',
        f'access_token_lifetime = "{lifetime}s"',
        'claims = { name = "Interop", email = "interop@example.com", fhirUser = "Practitioner/7" }',
    ]
    return "\n".join(
        [
            f'issuer = "{issuer}"',
            f'listen = "127.0.0.1:{port}"',
            f'ops_listen = "127.0.0.1:{ops_port}"',
            f'database_url = "sqlite://{directory}/mintage.db"',
            "reflection.enabled = true",
            *settings,
            "",
            *(table(*client(alg), f'access_token_signing_alg = "{alg}"', *machine) for alg in ALGORITHMS),
            table(*AWKWARD, *machine),
            table(*INTROSPECTOR, "grant_types = []", 'introspect = "any"'),
        ]
    )


@dataclass
class Server:
    process: subprocess.Popen
    address: str
    ops_address: str
    url: str
    log: pathlib.Path
    config: pathlib.Path
    # What requests trust: what they trust anyway, or a file of authorities.
    verify: bool | str = True

    @classmethod
    def start(cls, directory, settings=(), lifetime=LIFETIME, authority=None):
        """Starts a server whose files all lie in a directory, with more settings in the form of TOML lines. One whose
        settings are those of TLS comes with the file of the authority that signed its certificate."""
        binary = os.environ.get("MINTAGE_BINARY")
        assert binary and os.access(binary, os.X_OK), (
            "MINTAGE_BINARY names no executable; run `cargo build` and set it to target/debug/mintage"
        )
        # A free port may be taken before the server has it; then the server says so and another one is tried.
        for attempt in range(3):
            with socket.socket() as one, socket.socket() as other:
                one.bind(("127.0.0.1", 0))
                other.bind(("127.0.0.1", 0))
                ports = one.getsockname()[1], other.getsockname()[1]
            server = cls._start_on(binary, pathlib.Path(directory), *ports, settings, lifetime, authority)
            if server.is_ready():
                return server
            log = server.log.read_text()
            server.kill()
            if "cannot be listened on" not in log:
                break
        raise AssertionError(f"mintage did not become ready within {START_TIMEOUT} s; it said:\n{log}")

    @classmethod
    def _start_on(cls, binary, directory, port, ops_port, settings, lifetime, authority):
        url = f"{'https' if authority else 'http'}://127.0.0.1:{port}"
        config = directory / "mintage.toml"
        config.write_text(configuration(directory, port, ops_port, url, settings, lifetime))
        log = directory / "mintage.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "serve", "--config", str(config)],
                env=environment(directory),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        address, ops_address = f"127.0.0.1:{port}", f"127.0.0.1:{ops_port}"
        return cls(process, address, ops_address, url, log, config, str(authority) if authority else True)

    def command(self, *arguments):
        """What a command prints that works on the store of the server, as JSON."""
        result = subprocess.run(
            [os.environ["MINTAGE_BINARY"], *arguments, "--config", self.config, "--output", "json"],
            env=environment(self.config.parent),
            cwd=self.config.parent,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def token(self, credentials, **parameters):
        """An access token."""
        data = {"grant_type": "client_credentials", **parameters}
        response = requests.post(f"{self.url}/token", data=data, auth=credentials, timeout=10)
        assert response.status_code == 200, response.text
        return response.json()["access_token"]

    def is_active(self, token):
        """What a resource server is told about a token."""
        response = requests.post(f"{self.url}/introspect", data={"token": token}, auth=INTROSPECTOR, timeout=10)
        assert response.status_code == 200, response.text
        return response.json()["active"]

    def key_ids(self):
        """The kids of the key set."""
        return {key["kid"] for key in requests.get(f"{self.url}/.well-known/jwks.json", timeout=10).json()["keys"]}

    def is_ready(self):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if requests.get(f"{self.url}/readyz", timeout=2, verify=self.verify).status_code == 200:
                    return True
            except requests.ConnectionError:
                pass
            time.sleep(0.05)
        return False

    def stop(self):
        """Asks the server to stop and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"mintage did not stop within {STOP_TIMEOUT} s of SIGTERM") from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def environment(directory):
    # Only what is needed: a variable of the caller must not become a setting.
    # On a machine that is busy with other things the server would refuse requests that have waited for long.
    waits = {"MINTAGE_LIMITS_QUEUE_WAIT": "10s"}
    return {"PATH": os.environ["PATH"], "TMPDIR": str(directory), "JWT_SECRET": JWT_SECRET, **waits}


def temporary_directory():
    return tempfile.TemporaryDirectory(prefix="mintage-interop-")
