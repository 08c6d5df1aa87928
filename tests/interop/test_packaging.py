"""The Dockerfile as far as it can be checked without a container engine."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def copied_into_the_build():
    lines = re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_hadolint_has_nothing_to_say():
    hadolint = pathlib.Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0 and not result.stdout, result.stdout + result.stderr


def test_what_is_copied_exists_and_is_not_ignored():
    sources = copied_into_the_build()
    assert "Cargo.lock" in sources and "src" in sources
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    for source in sources:
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}, which does not exist"
        assert f"!{source}" in ignore, f".dockerignore keeps {source} from the Dockerfile, which copies it"


def test_what_is_copied_is_a_whole_package(tmp_path):
    for source in copied_into_the_build():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source)
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    command = ["cargo", "metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"the Dockerfile copies too little for cargo:\n{result.stderr}"


def test_the_image_builds_with_the_rust_version_that_the_crate_needs():
    manifest = (ROOT / "Cargo.toml").read_text()
    wanted = re.search(r'^rust-version = "(.*)"$', manifest, re.MULTILINE)[1]
    version = re.search(r'^version = "(.*)"$', manifest, re.MULTILINE)[1]
    assert f"ARG RUST_VERSION={wanted}\n" in DOCKERFILE
    assert f"ARG VERSION={version}\n" in DOCKERFILE


def test_the_image_has_the_libraries_that_the_binary_needs():
    listed = subprocess.run(["ldd", os.environ["MINTAGE_BINARY"]], capture_output=True, text=True, check=True).stdout
    needed = {re.match(r"\s*(?:\S*/)?(\S+)", line)[1] for line in listed.splitlines()}
    in_the_image = {"libc.so.6", "libm.so.6", "libgcc_s.so.1"}
    of_the_kernel = {name for name in needed if name.startswith(("linux-vdso", "ld-linux"))}
    assert needed - of_the_kernel <= in_the_image, listed
