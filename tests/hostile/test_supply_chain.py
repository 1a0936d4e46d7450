"""The locks, the images' installs, the audit and the lists: that each does what docs/security.md says."""

from __future__ import annotations

import re
import subprocess

import pytest

from deploy.tools.lock_torch import merged
from tests.support.environment import REPOSITORY

PARTS = ("rest", "worker", "logs")
PACKAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*==\S+")


def entries(part: str) -> list[str]:
    """Each package of a lock with its hashes, as one line."""
    text = (REPOSITORY / part / "requirements.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("part", PARTS)
def test_every_locked_package_has_hashes(part):
    assert entries(part)
    for entry in entries(part):
        assert PACKAGE.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("part", PARTS)
def test_images_install_nothing_without_its_hash_but_torch(part):
    dockerfile = (REPOSITORY / part / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install ([^&\n]*)", dockerfile)
    assert any("--require-hashes" in install for install in installs)
    for install in installs:
        ours = "--no-deps ." in install
        locked = "-r requirements.txt" in install  # pip asks for hashes by itself where a line has one
        assert "--require-hashes" in install or ours or locked or "torch==" in install, install


BEFORE = "a==1 \\\n    --hash=sha256:aa\ntorch==2.0 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22\n    # via b\n"
AFTER = "a==2 \\\n    --hash=sha256:bb\ntorch==2.0+cpu \\\n    --hash=sha256:33\n    # via b\n"


def test_torch_of_a_new_lock_keeps_the_hashes_of_its_other_builds():
    line = "torch==2.0 \\\n    --hash=sha256:11 \\\n    --hash=sha256:22 \\\n    --hash=sha256:33\n    # via b\n"
    assert merged(BEFORE, AFTER) == "a==2 \\\n    --hash=sha256:bb\n" + line
    assert "sha256:11" not in merged(BEFORE, AFTER.replace("2.0+cpu", "2.1+cpu"))


@pytest.mark.parametrize(
    ("said", "status", "expected"),
    [
        ("Found 1 known vulnerability in 1 package", 1, "Found 1 known"),
        ("ERROR: connection refused", 0, "could not be asked: ERROR: connection refused"),
        ("", 0, "nothing known"),
    ],
)
def test_audit_tells_a_finding_from_a_database_out_of_reach(tmp_path, said, status, expected):
    """The script, beside a pip-audit that says what the test wants."""
    script = tmp_path / "deploy" / "tools" / "audit.sh"
    script.parent.mkdir(parents=True)
    script.write_bytes((REPOSITORY / "deploy" / "tools" / "audit.sh").read_bytes())
    tool = tmp_path / ".venv" / "tools" / "bin" / "pip-audit"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!/bin/sh\necho '{said}'\nexit {1 if said else 0}\n")
    tool.chmod(0o755)
    script.chmod(0o755)
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert expected in done.stdout


def test_ci_audits_and_images_are_listed():
    assert "make audit" in (REPOSITORY / ".ci" / "run").read_text()
    assert "sbom.sh" in (REPOSITORY / "deploy" / "tools" / "images.sh").read_text()
