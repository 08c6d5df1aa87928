"""Verifiers by others keep verifying while the keys of a running server change (F-10), and stop when they must (F-11).

They read the key set again only when the copy they have is older than the server said it may become: a kid that is not in
the copy is a failure, not a reason to read again.
"""

import json
import os
import random
import re
import subprocess
import time

import jwt
import pytest
import requests
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

import mintage_server
from test_node import node_program

MAX_AGE = 2
LIFETIME = 30
# Keys are published 15 s before they sign. The server rotates at the first look after its start that finds it due.
SETTINGS = [
    'keys.rotation_period = "60s"',
    f'keys.jwks_max_age = "{MAX_AGE}s"',
    f'tokens.default_lifetime = "{LIFETIME}s"',
    f'tokens.max_lifetime = "{LIFETIME}s"',
    'store.max_staleness = "5s"',
    'store.poll_interval = "100ms"',
]
ALGORITHMS = ["RS256", "ES256"]
AT_ONCE = 5
PATIENCE = 150


@pytest.fixture(scope="module")
def rotating():
    with mintage_server.temporary_directory() as directory:
        running = mintage_server.Server.start(directory, SETTINGS, LIFETIME)
        try:
            yield running
            assert running.stop() == 0, running.log.read_text()
        finally:
            running.kill()


class CachedKeys:
    """The key set as an HTTP cache keeps it (RFC 9111)."""

    def __init__(self, url, parse):
        self.url, self.parse, self.reads, self.stale_at = url, parse, 0, 0

    def get(self):
        if time.monotonic() >= self.stale_at:
            # The age counts from before the request.
            asked_at = time.monotonic()
            response = requests.get(self.url, timeout=10)
            max_age = int(re.search(r"max-age=(\d+)", response.headers["Cache-Control"])[1])
            assert max_age == MAX_AGE
            self.keys, self.stale_at = self.parse(response.json()), asked_at + max_age
            self.reads += 1
        return self.keys


class PyJwt:
    def __init__(self, server):
        self.cache = CachedKeys(f"{server.url}/.well-known/jwks.json", jwt.PyJWKSet.from_dict)
        self.issuer = server.url

    def verify(self, token, algorithm):
        kid = jwt.get_unverified_header(token)["kid"]
        try:
            key = self.cache.get()[kid]
        except KeyError:
            return "unknown kid"
        try:
            jwt.decode(token, key, [algorithm], audience=mintage_server.AUDIENCE, issuer=self.issuer)
        except jwt.PyJWTError as error:
            return f"{type(error).__name__}: {error}"
        return "ok"


class Joserfc:
    def __init__(self, server):
        self.cache = CachedKeys(f"{server.url}/.well-known/jwks.json", joserfc_jwk.KeySet.import_key_set)

    def verify(self, token, algorithm):
        keys = self.cache.get()
        kid = jwt.get_unverified_header(token)["kid"]
        if kid not in {key.kid for key in keys.keys}:
            return "unknown kid"
        try:
            decoded = joserfc_jwt.decode(token, keys, algorithms=[algorithm])
            joserfc_jwt.JWTClaimsRegistry(exp={"essential": True}).validate(decoded.claims)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "ok"


class NodeJose:
    def __init__(self, server):
        program, flags, directory = node_program()
        settings = {"jwksUri": f"{server.url}/.well-known/jwks.json", "maxAge": MAX_AGE, "issuer": server.url}
        self.process = subprocess.Popen(
            [program, *flags, "verifier.mjs"],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "INTEROP": json.dumps({**settings, "audience": mintage_server.AUDIENCE})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def verify(self, token, algorithm):
        self.process.stdin.write(json.dumps({"token": token, "algorithm": algorithm}) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip() or "the verifier ended"

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def test_verifiers_never_meet_an_unknown_key(rotating, capsys):
    verifiers = {"PyJWT": PyJwt(rotating), "joserfc": Joserfc(rotating), "npm jose": NodeJose(rotating)}
    counts = {name: 0 for name in verifiers}
    failures = []
    signers = {algorithm: [] for algorithm in ALGORITHMS}
    tokens = []
    asked = False

    def verify(token, algorithm):
        for name, verifier in verifiers.items():
            counts[name] += 1
            verdict = verifier.verify(token, algorithm)
            if verdict != "ok":
                failures.append((name, algorithm, verdict, time.time()))

    begun = time.monotonic()
    replaced_at = None
    # Until the first keys have verified for the last time: they stopped signing a lifetime ago.
    while replaced_at is None or time.monotonic() < replaced_at + LIFETIME:
        assert time.monotonic() - begun < PATIENCE, f"too few rotations: {signers}\n{rotating.log.read_text()}"
        for algorithm in ALGORITHMS:
            token = rotating.token(mintage_server.client(algorithm))
            kid = jwt.get_unverified_header(token)["kid"]
            if kid not in signers[algorithm]:
                signers[algorithm].append(kid)
            verify(token, algorithm)
            expires_at = jwt.decode(token, options={"verify_signature": False})["exp"]
            tokens.append((expires_at, token, algorithm))
        # Older ones too, up to their last second.
        tokens = [entry for entry in tokens if entry[0] > time.time() + 1]
        oldest = tokens[0]
        for _, token, algorithm in [oldest, random.choice(tokens)]:
            verify(token, algorithm)
        if replaced_at is None and all(len(kids) > 1 for kids in signers.values()):
            replaced_at = time.monotonic()
        if replaced_at is not None and not asked:
            # The server has rotated when it was due; an operator asks for the next one.
            rotating.command("key", "rotate", *ALGORITHMS)
            asked = True
        time.sleep(0.04)
    verifiers["npm jose"].close()

    unknown = sum(verdict == "unknown kid" for _, _, verdict, _ in failures)
    rotations = {algorithm: len(kids) - 1 for algorithm, kids in signers.items()}
    with capsys.disabled():
        reads = verifiers["PyJWT"].cache.reads
        print(
            f"\nrotations {rotations}, verifications {counts}, failures {len(failures)}, unknown kids {unknown}, "
            f"{reads} reads of the key set in {time.monotonic() - begun:.0f} s"
        )
    assert failures == []
    assert all(count >= 2 for count in rotations.values()), rotations
    assert sum(counts.values()) > 3000, counts


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_compromised_key_is_gone_at_once(algorithm, rotating):
    old_token = rotating.token(mintage_server.client(algorithm))
    old = jwt.get_unverified_header(old_token)["kid"]
    assert old in rotating.key_ids() and rotating.is_active(old_token)

    begun = time.monotonic()
    told = rotating.command("key", "rotate", "--compromised", old)["keys"]
    assert [key["state"] for key in told] == ["revoked", "active"]
    while True:
        new_token = rotating.token(mintage_server.client(algorithm))
        new = jwt.get_unverified_header(new_token)["kid"]
        kids = rotating.key_ids()
        if new != old and old not in kids and not rotating.is_active(old_token):
            break
        assert time.monotonic() < begun + AT_ONCE, f"{old} is still in use"
        time.sleep(0.05)
    assert new == told[1]["kid"] and new in kids and rotating.is_active(new_token)
    assert PyJwt(rotating).verify(old_token, algorithm) == "unknown kid"
    assert PyJwt(rotating).verify(new_token, algorithm) == "ok"
