"""README.md is true: its examples run, its tables agree with the binary, its files exist.

Every `sh` block is preceded by one comment:

    <!-- server -->                 one command that starts the server the examples talk to
    <!-- example: A | B -->         runs; exits with 0 and prints A and B
    <!-- not run: REASON -->
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (comment.removeprefix("example:").split(" | "), text)
    for comment, language, text in BLOCKS
    if language == "sh" and comment.startswith("example:")
]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / "release/mintage"
START_TIMEOUT = 120
STOP_TIMEOUT = 20


def mintage(*arguments, **options):
    assert BINARY.exists(), f"{BINARY} is missing; run `cargo build --release`"
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [BINARY, *arguments], env=environment, capture_output=True, text=True, timeout=30, **options
    )


def one_block(comment):
    found = [text for found, _, text in BLOCKS if found == comment]
    assert len(found) == 1, f"README.md needs one block with the comment {comment!r}"
    return found[0]


def rows(comment):
    """The cells of the table below a comment, without its head."""
    table = README.split(f"<!-- {comment} -->\n", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()[2:]]


@pytest.fixture(scope="module")
def server():
    """The server, started by the README's own command."""
    with socket.socket() as probe:
        # As the server does: a connection that is merely on its way out does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            pytest.fail("port 8000 is in use; stop what listens there, since the README's examples need it")
    command = one_block("server").strip()
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG") or name.startswith(("CARGO", "RUSTUP"))
    }
    process = subprocess.Popen(["bash", "-c", command], cwd=ROOT, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not is_ready():
            assert process.poll() is None, f"`{command}` ended with {process.returncode}"
            assert time.monotonic() < deadline, f"`{command}` was not ready within {START_TIMEOUT} s"
            time.sleep(0.05)
        yield
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(STOP_TIMEOUT) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_ready():
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open("http://127.0.0.1:8000/readyz", timeout=2).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def shell(server, tmp_path_factory):
    """Runs a block in a shell whose variables the next block sees, in an empty directory."""
    directory = tmp_path_factory.mktemp("readme")
    commands = directory / "bin"
    commands.mkdir()
    (commands / "mintage").symlink_to(BINARY)
    if not shutil.which("grpcurl"):
        stand_in = pathlib.Path(__file__).with_name("grpcurl.py")
        (commands / "grpcurl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -B "{stand_in}" "$@"\n')
        (commands / "grpcurl").chmod(0o755)
    work = directory / "work"
    work.mkdir()
    environment = {"PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(directory), "no_proxy": "localhost,127.0.0.1"}

    def run(block):
        script = f"set -aeuo pipefail\n[ ! -f ../state ] || . ../state\n{block}\nexport -p >../state\n"
        return subprocess.run(
            ["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number, shell):
    expected, block = EXAMPLES[number]
    result = shell(block)
    output = f"{block}\nexit code {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.returncode == 0, output
    for text in expected:
        assert text.strip() in result.stdout, f"missing {text.strip()!r} in the output of\n{output}"


def test_every_shell_block_says_whether_it_runs():
    assert len(EXAMPLES) >= 3, "README.md has lost its examples"
    for comment, language, text in BLOCKS:
        if language == "sh":
            assert re.match(r"server$|example: .|not run: .", comment), f"mark this block of README.md:\n{text}"


def test_the_settings_are_those_of_the_binary():
    shown = json.loads(mintage("config", "show", "--output", "json", "--dev").stdout)["settings"]
    expected = []
    for setting in shown:
        also = [name for name in setting["environment"] if not name.startswith("MINTAGE_")]
        code = lambda text: f"`{text}`" if text else ""
        expected.append([code(setting["key"]), code("".join(also)), code(setting["default"]), setting["description"]])
    table = "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in expected)
    assert rows("settings") == expected, f"the table of settings in README.md should be:\n{table}"


def test_the_members_of_a_client_are_known_to_the_binary(tmp_path):
    names = [name.strip("`") for name, *_ in rows("members")]
    config = tmp_path / "mintage.toml"
    config.write_text('issuer = "https://a.example"\n[[clients]]\nno_such_member = 0\n')
    refusal = mintage("config", "check", "--config", config).stderr
    assert "no_such_member" in refusal
    for name in names:
        # A wrong type is one complaint, an unknown name another.
        config.write_text(f'issuer = "https://a.example"\n[[clients]]\n{name} = 0\n')
        complaint = mintage("config", "check", "--config", config).stderr
        assert f".{name}: must be" in complaint, complaint


def test_the_configuration_is_accepted(tmp_path):
    (tmp_path / "mintage.toml").write_text(one_block("configuration"))
    for name in re.findall(r'client_secret_file = "(.*)"', one_block("configuration")):
        (tmp_path / name).write_text("a secret that somebody chose\n")
    # The key of the example is made as the README says it is made.
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rs256.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    result = mintage("config", "check", "--config", tmp_path / "mintage.toml")
    assert result.returncode == 0, result.stderr


def test_every_file_that_is_linked_exists():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing, f"README.md links to what is not there: {missing}"
