"""jose and openid-client for Node.js: discovery, client credentials, introspection, verification by JWKS, DPoP."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

import mintage_server

CHECKS = [
    "discovery-oauth2",
    "discovery-oidc",
    "grant-basic",
    "grant-post",
    "grant-basic-form-encoded",
    "grant-post-form-encoded",
    "resource-server-introspects",
    "refusal",
    "userinfo",
    "dpop-ES256",
    "dpop-PS256",
    "dpop-EdDSA",
    "dpop-nonce",
    "revocation-basic",
    "revocation-post",
    "revocation-of-nonsense",
    "revocation-of-another-clients-token",
    "registration-basic",
    "registration-post",
    "registration-without-a-token",
    *(f"verify-{algorithm}" for algorithm in mintage_server.ALGORITHMS),
]


def node_program():
    """Node.js, its flags, and the directory where the packages were installed (tests/run does that)."""
    program = shutil.which("node")
    assert program, "node is not installed; install Node.js 18 or later"
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(re.match(r"v(\d+)", version)[1])
    assert major >= 18, f"node is {version.strip()}; install Node.js 18 or later"
    # Node.js 18 has Web Crypto, but not as a global.
    flags = ["--experimental-global-webcrypto"] if major < 20 else []
    directory = pathlib.Path(os.environ["MINTAGE_NODE_DIRECTORY"])
    assert (directory / "node_modules/jose").is_dir(), "the packages of tests/interop/node are not installed; use tests/run"
    return program, flags, directory


def run_node(interop, script, *arguments):
    """Runs a script, which finds `interop` in the environment."""
    program, flags, directory = node_program()
    return subprocess.run(
        [program, *flags, script, *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "INTEROP": json.dumps(interop)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def node():
    """Runs checks.mjs."""
    return lambda check, **interop: run_node(interop, "checks.mjs", check)


@pytest.fixture(scope="module")
def interop(server, nonce_server, administrator):
    algorithms = mintage_server.ALGORITHMS
    return {
        "url": server.url,
        "nonceUrl": nonce_server.url,
        "algorithms": algorithms,
        "audience": mintage_server.AUDIENCE,
        "clients": {algorithm: mintage_server.client(algorithm) for algorithm in algorithms},
        "awkward": mintage_server.AWKWARD,
        "introspector": mintage_server.INTROSPECTOR,
        "jwtSecret": mintage_server.JWT_SECRET,
        "registrar": administrator,
    }


def test_no_check_is_forgotten(node, interop):
    assert sorted(node("list", **interop).stdout.split()) == sorted(CHECKS)


@pytest.mark.parametrize("check", CHECKS)
def test_node(check, node, interop):
    result = node(check, **interop)
    assert result.returncode == 0, result.stdout + result.stderr
