"""Counts the instructions a request costs the whole server, and compares them with what is recorded.

    python3 tests/instructions/measure.py                  compares; more than 5 % above the record fails
    MINTAGE_BLESS=1 python3 tests/instructions/measure.py  records what it counts
    python3 tests/instructions/measure.py CASE FILE        writes a profile of one case, for callgrind_annotate: build with
                                                           CARGO_PROFILE_RELEASE_STRIP=none CARGO_PROFILE_RELEASE_DEBUG=1

Runs the release binary (MINTAGE_BINARY, or target/release/mintage) under valgrind's callgrind, with one worker thread, on
a copy of one SQLite store. One run sends a few requests of every case; for each case another run sends many more of it. The
difference is what these cost, from the socket to the socket, without start and end. What the server does by itself meanwhile,
which is more the longer a run takes, is counted in a run that waits, and taken off. One request at a time over one
connection leaves little to chance: two runs on one machine differ by 1 % or less. The kernel's work is not counted, and
instructions are not time: they tell that something changed, a bench tells what it means.

valgrind shows programs a processor of its own (AVX2 where the real one has it, never SHA extensions), so that counts do not
depend on the rest of the machine. Another version of Rust or aws-lc may move them: then look, and record anew.
"""

import base64
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
RECORD = HERE / "counts.txt"
ALGORITHMS = ["HS256", "ES256", "EdDSA", "RS256"]
SECRET = "mint_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
TOLERANCE = 0.05

# Requests of every case before anything is counted: caches fill, buffers grow.
WARM_UP = 5
# Further requests of the case that is counted: without a public key, with one, with an RSA signature.
CHEAP, MIDDLE, DEAR = 1000, 300, 60
# valgrind needs some seconds where the server itself needs milliseconds.
PATIENCE = 120
# Seconds without a request that tell what a server does by itself.
IDLE = 10


class Server:
    """A server process on a directory with a store."""

    def __init__(self, directory, under=()):
        self.address, ops = free_address(), free_address()
        environment = {
            "PATH": os.environ["PATH"],
            "TOKIO_WORKER_THREADS": "1",
            "MINTAGE_LOG": "error",
            # Under callgrind everything is late.
            "MINTAGE_LIMITS_QUEUE_WAIT": "10s",
            "MINTAGE_LISTEN": "%s:%d" % self.address,
            "MINTAGE_OPS_LISTEN": "%s:%d" % ops,
        }
        command = [*under, binary(), "serve", "--config", "mintage.toml"]
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def connect(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connection = socket.create_connection(self.address, timeout=PATIENCE)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("error: the server did not start") from None
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Http1:
    """These requests in turn on a connection that is kept."""

    def __init__(self, server, *requests):
        self.connection, self.requests = server.connect(), itertools.cycle(requests)

    def send(self):
        self.connection.sendall(next(self.requests))
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"error: {head.decode()}")
        length = int(re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)[1])
        while len(body) < length:
            body += self.receive()
        return body

    def receive(self):
        received = self.connection.recv(65536)
        if not received:
            raise SystemExit("error: the server closed the connection")
        return received

    def close(self):
        self.connection.close()


class Grpc(Http1):
    """One unary call over and over on a connection of HTTP/2, in the few frames that it takes (RFC 9113 §4.1)."""

    DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8

    def __init__(self, server, method, fields, message):
        super().__init__(server)
        self.stream, self.unread, self.received = 1, b"", 0
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":authority": "localhost",
            ":path": method,
            "content-type": "application/grpc",
            "te": "trailers",
            **fields,
        }
        # RFC 7541 §6.2.2: literal fields that are not indexed; lengths below 127.
        texts = (text.encode() for field in headers.items() for text in field)
        coded = [bytes([len(text)]) + text for text in texts]
        self.headers = b"".join(b"\0" + name + value for name, value in zip(coded[::2], coded[1::2]))
        self.message = b"\0" + len(message).to_bytes(4, "big") + message
        self.connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(self.SETTINGS, 0, 0, b""))

    def send(self):
        stream, self.stream = self.stream, self.stream + 2
        self.connection.sendall(
            frame(self.HEADERS, 0x4, stream, self.headers) + frame(self.DATA, 0x1, stream, self.message)
        )
        seen = b""
        while True:
            kind, flags, of, payload = self.next_frame()
            if kind == self.SETTINGS and not flags & 0x1:
                self.connection.sendall(frame(self.SETTINGS, 0x1, 0, b""))
            elif kind == self.PING and not flags & 0x1:
                self.connection.sendall(frame(self.PING, 0x1, 0, payload))
            elif of == stream and kind == self.DATA:
                seen += payload
            if of == stream and flags & 0x1:
                break
        if not seen:
            raise SystemExit("error: a call was refused")
        self.received += len(seen)
        # The connection's window is opened again before it is used up.
        if self.received > 16384:
            self.connection.sendall(frame(self.WINDOW_UPDATE, 0, 0, self.received.to_bytes(4, "big")))
            self.received = 0
        return seen

    def next_frame(self):
        while len(self.unread) < 9 or len(self.unread) < 9 + int.from_bytes(self.unread[:3], "big"):
            self.unread += self.receive()
        length = int.from_bytes(self.unread[:3], "big")
        kind, flags, stream = self.unread[3], self.unread[4], int.from_bytes(self.unread[5:9], "big")
        payload, self.unread = self.unread[9 : 9 + length], self.unread[9 + length :]
        return kind, flags, stream, payload


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()


def binary():
    target = os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")
    given = os.environ.get("MINTAGE_BINARY") or pathlib.Path(target) / "release" / "mintage"
    return str(pathlib.Path(given).resolve())


def basic(client):
    return "Basic " + base64.b64encode(f"{client}:{SECRET}".encode()).decode()


def http1(method, path, body="", client=None):
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    if client:
        lines += [f"authorization: {basic(client)}", "content-type: application/x-www-form-urlencoded"]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", body]).encode()


ISSUE = "grant_type=client_credentials"


def prepare(directory):
    """Makes the store with its keys, and tokens of each client to introspect."""
    config = ['issuer = "http://127.0.0.1"', 'jwt_secret = "0123456789abcdef0123456789abcdef"']
    config.append('database_url = "sqlite://mintage.db"')
    for alg in ALGORITHMS:
        config += [
            "[[clients]]",
            f'client_id = "{alg}"',
            f'client_secret = "{SECRET}"',
            f'access_token_signing_alg = "{alg}"',
            'scope = "read write"',
            'access_token_lifetime = "1h"',
            'claims = { name = "Load", email = "load@example.com", fhirUser = "Practitioner/1" }',
        ]
    (directory / "mintage.toml").write_text("\n".join(config))
    with Server(directory) as server:
        connections = {alg: Http1(server, http1("POST", "/token", ISSUE, alg)) for alg in ALGORITHMS}
        return {
            alg: [json.loads(connection.send())["access_token"] for _ in range(1 + WARM_UP + DEAR)]
            for alg, connection in connections.items()
        }


def all_cases(tokens):
    """What is counted: a name, how many of it, and what opens a connection for it."""
    cases = {"GET /healthz": (CHEAP, lambda server: Http1(server, http1("GET", "/healthz")))}

    def add(name, count, *requests):
        cases[name] = (count, lambda server: Http1(server, *requests))

    for alg in ALGORITHMS:
        number = {"HS256": CHEAP, "RS256": DEAR}.get(alg, MIDDLE)
        add(f"POST /token {alg}", number, http1("POST", "/token", ISSUE, alg))
    for alg in ALGORITHMS:
        seen, *unseen = (http1("POST", "/introspect", f"token={token}", alg) for token in tokens[alg])
        add(f"POST /introspect {alg}", CHEAP, seen)
        # A signature that was found right lately is not verified again.
        if alg != "HS256":
            add(f"POST /introspect {alg}, not seen before", DEAR, *unseen)
    secret = b"\x0a\x05HS256\x12" + bytes([len(SECRET)]) + SECRET.encode()
    issue = b"\x52" + bytes([len(secret)]) + secret  # IssueRequest.client_secret = 10
    cases["gRPC Issue HS256"] = (
        CHEAP,
        lambda server: Grpc(server, "/mintage.token.v1.TokenService/Issue", {}, issue),
    )
    return cases


def count(prepared, cases, chosen=None, keep=None):
    """The instructions of one run with so many requests of the chosen case beyond those of the warm-up, and how long they took."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory) / "run"
        shutil.copytree(prepared, directory)
        log = directory / "valgrind.log"
        tool = ["valgrind", "--tool=callgrind", f"--log-file={log}"]
        seconds = 0
        with Server(directory, [*tool, f"--callgrind-out-file={keep or '/dev/null'}"]) as server:
            for name, (number, connect) in cases.items():
                connection = connect(server)
                for _ in range(WARM_UP):
                    connection.send()
                begun = time.monotonic()
                for _ in range(number if name == chosen else 0):
                    connection.send()
                seconds += time.monotonic() - begun
                connection.close()
            if chosen == IDLE:
                time.sleep(IDLE)
        collected = re.search(r"Collected : (\d+)", log.read_text())
        if not collected:
            raise SystemExit(f"error: valgrind counted nothing: {log.read_text()}")
        return int(collected[1]), seconds


def measure():
    """Instructions per request, by case."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        cases = all_cases(prepare(directory))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            runs = list(pool.map(lambda case: count(directory, cases, case), [None, None, IDLE, *cases]))
        without = sum(instructions for instructions, _ in runs[:2]) / 2
        idle = (runs[2][0] - without) / IDLE
        return {
            name: (instructions - without - idle * seconds) / cases[name][0]
            for name, (instructions, seconds) in zip(cases, runs[3:])
        }


def profile(case, file):
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        cases = all_cases(prepare(directory))
        count(directory, {case: cases[case]}, case, pathlib.Path(file).resolve())


def read_record():
    lines = (line.rsplit(maxsplit=1) for line in RECORD.read_text().splitlines() if line[:1] not in ("", "#"))
    return {name.strip(): int(number) for name, number in lines}


def write_record(counts):
    text = "# Instructions per request of the whole server, as tests/instructions/measure.py counts them.\n"
    for name, number in counts.items():
        text += f"{name:38} {round(number):9}\n"
    RECORD.write_text(text)


def main():
    if len(sys.argv) > 1:
        profile(*sys.argv[1:])
        return
    counts = measure()
    if os.environ.get("MINTAGE_BLESS"):
        write_record(counts)
        print(RECORD.read_text(), end="")
        return
    recorded = read_record()
    dearer, cheaper = [], []
    print(f"{'instructions per request':38} {'recorded':>9} {'now':>9} {'change':>8}")
    for name, number in counts.items():
        before = recorded.pop(name, None)
        change = number / before - 1 if before else float("inf")
        print(f"{name:38} {before or 'nothing':>9} {number:9.0f} {change:+8.1%}")
        if change > TOLERANCE:
            dearer.append(name)
        elif change < -TOLERANCE:
            cheaper.append(name)
    again = "record it with: MINTAGE_BLESS=1 tests/run instructions"
    if cheaper:
        print(f"cheaper by more than {TOLERANCE:.0%}: {', '.join(cheaper)}; so that it stays so, {again}")
    if dearer or recorded:
        names = ", ".join([*dearer, *(f"{name} (not measured any more)" for name in recorded)])
        sys.exit(f"error: dearer by more than {TOLERANCE:.0%}: {names}; find out why or, if it is worth it, {again}")


if __name__ == "__main__":
    main()
