"""deploy-local-dev.sh against a kubectl that renders in earnest and otherwise only writes down."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from msaas.local.servers import free_ports
from tests.deploy.conftest import REPOSITORY
from tests.support.kubectl import Stub

PORTS = free_ports(3)  # of a developer's machine the usual ones may be taken


class Session:
    """deploy-local-dev.sh running, its ports never bound: the stub's forwards only sleep."""

    def __init__(self, stub: Stub, *arguments: str) -> None:
        self.stub = stub
        self.output = stub.folder / "output"
        self.process = subprocess.Popen(
            [str(REPOSITORY / "deploy-local-dev.sh"), "--ports", ",".join(map(str, PORTS)), *arguments],
            env=stub.env,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def until(self, calls: int, words: str) -> None:
        deadline = time.monotonic() + 20
        while sum(words in call for call in self.stub.calls) < calls or "Ctrl-C here" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, (self.output.read_text(), self.stub.calls)
            time.sleep(0.05)

    def interrupt(self) -> str:
        """Ctrl-C: the whole group gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=60)
        return self.output.read_text(encoding="utf-8")


@pytest.fixture
def develop(stub: Stub) -> Iterator:
    sessions = []

    def start(*arguments: str) -> Session:
        sessions.append(Session(stub, *arguments))
        return sessions[-1]

    yield start
    for session in sessions:
        if session.process.poll() is None:
            os.killpg(session.process.pid, signal.SIGKILL)
            session.process.wait()


def test_the_three_ports_are_forwarded_and_the_two_lines_told(develop, stub):
    session = develop()
    session.until(2, "port-forward")
    output = session.interrupt()
    forwards = {call for call in stub.calls if "port-forward" in call}
    redis, s3, console = PORTS
    assert forwards == {
        f"-n msaas-dev port-forward service/redis {redis}:6379",
        f"-n msaas-dev port-forward service/minio {s3}:9000 {console}:9001",
    }
    where = f"REDIS_HOST=localhost:{redis} MINIO_HOST=localhost:{s3}"
    assert f"  {where} python rest/rest-server.py\n  {where} python worker/worker-server.py\n" in output


def test_a_forward_that_drops_is_started_again(develop, stub):
    stub.env["STUB_DROPS"] = "yes"
    session = develop()
    session.until(4, "port-forward")
    assert "dropped; starting it again" in session.interrupt()


def test_ctrl_c_takes_the_servers_down_and_keeps_their_volumes(develop, stub):
    session = develop()
    session.until(2, "port-forward")
    session.interrupt()
    [delete] = [call for call in stub.calls if "delete" in call]
    assert delete.startswith("-n msaas-dev delete statefulsets,services,secrets -l ")
    assert not _children_of_group(session.process.pid)


@pytest.mark.parametrize(("argument", "deleted"), [("--keep", 0), ("--purge", 1)])
def test_keep_and_purge_do_what_they_say(develop, stub, argument, deleted):
    session = develop(argument)
    session.until(2, "port-forward")
    session.interrupt()
    assert sum("delete namespace msaas-dev" in call for call in stub.calls) == deleted
    assert sum("delete statefulsets" in call for call in stub.calls) == 0


def test_a_port_that_is_taken_is_named_before_anything_is_applied(stub):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = stub.run("deploy-local-dev.sh", "--ports", f"{PORTS[0]},{PORTS[1]},{port}")
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert not stub.applied_anything()


def _children_of_group(group: int) -> list[str]:
    listing = subprocess.run(["/bin/ps", "-eo", "pgid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if line.split(None, 1)[0] == str(group)]
