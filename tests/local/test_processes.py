"""Children end with whoever started them, whatever way that goes; log lines come whole."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from msaas.local.processes.child import Child, ProcessGuard, wait_until
from msaas.local.servers import Keys, StartFailed, Valkey, Weed, free_ports, ports_are_free, start
from msaas.local.stream import LogStream, framed
from tests.local.conftest import ended

SHELL = "/bin/sh"


@pytest.fixture
def guard() -> Iterator[ProcessGuard]:
    guard = ProcessGuard()
    yield guard
    guard.close()


def test_killed_parent_takes_its_servers_with_it(tmp_path: Path) -> None:
    """As when pytest itself is killed with its fixtures up."""
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom msaas.local.servers import Valkey, running\n"
        "with running(lambda: Valkey(Path(sys.argv[1]))):\n    print('up', flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        family = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert "valkey-server" in {process.name() for process in family}
    assert wait_until(lambda: all(map(ended, family)), 60)


def test_stopping_a_child_leaves_nothing_of_its_group(guard: ProcessGuard) -> None:
    child = Child([SHELL, "-c", "sleep 600 & echo up; wait"], guard=guard)
    assert wait_until(lambda: "up" in child.tail, 60)
    below = psutil.Process(child.pid).children()
    child.stop(grace_seconds=1)
    assert not child.alive
    assert wait_until(lambda: all(map(ended, below)), 60)


def test_child_that_ignores_sigterm_is_killed_after_its_grace(guard: ProcessGuard) -> None:
    child = Child([SHELL, "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"], guard=guard)
    assert wait_until(lambda: "up" in child.tail, 60)
    child.stop(grace_seconds=0.3)
    assert child.process.returncode == -9


def test_children_are_started_from_the_main_thread_only(guard: ProcessGuard) -> None:
    errors: list[str] = []

    def start_one() -> None:
        try:
            Child([SHELL, "-c", "true"], guard=guard)
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start_one)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]


def test_child_keeps_its_number_and_python_s_signals_do_not_reach_it(guard: ProcessGuard) -> None:
    child = Child([SHELL, "-c", "echo $$; grep SigIgn /proc/$$/status; exec sleep 600"], guard=guard)
    assert wait_until(lambda: len(child.tail) == 2, 60)
    assert child.tail[0] == str(child.pid)
    assert int(child.tail[1].split()[1], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    child.kill()


def test_program_that_is_missing_is_named(guard: ProcessGuard, tmp_path: Path) -> None:
    child = Child([tmp_path / "missing"], guard=guard)
    assert wait_until(lambda: not child.alive, 60)
    child.kill()
    assert child.tail[-1] == f"{tmp_path}/missing cannot be started: No such file or directory"


def test_valkey_on_a_taken_port_moves_to_another(tmp_path: Path, guard: ProcessGuard, valkey: Valkey) -> None:
    ports = [valkey.port, None]
    server, child = start(lambda: Valkey(tmp_path, ports.pop(0)), guard)
    child.stop(1)
    assert server.port != valkey.port


def test_server_that_never_comes_up_is_shown_with_its_last_lines(tmp_path: Path, guard: ProcessGuard) -> None:
    class Broken(Valkey):
        def argv(self) -> list[str]:
            return [*super().argv(), "--no-such-option", "1"]

    with pytest.raises(StartFailed, match="no-such-option"):
        start(lambda: Broken(tmp_path), guard)


def test_wrong_keys_are_refused_by_the_store(s3: Weed) -> None:
    stranger = Weed(s3.folder, Keys.new(), s3.ports)
    assert not stranger.ready()
    assert s3.ready()


def test_keys_are_made_up_once_and_private(tmp_path: Path) -> None:
    first = Keys.kept_in(tmp_path / "keys.json")
    assert Keys.kept_in(tmp_path / "keys.json") == first
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_sockets_of_a_killed_store_are_swept_and_those_of_a_live_one_stay(s3: Weed) -> None:
    alive, dead = (Path(f"/tmp/seaweedfs-s3-grpc-{port + 10000}.sock") for port in (s3.port, *free_ports(1)))  # noqa: S108
    dead.touch()
    s3.clean_up()
    assert not dead.exists()
    assert alive.exists()


def test_free_ports_are_below_55000_and_so_are_their_grpc_twins() -> None:
    ports = free_ports(4)
    assert len(set(ports)) == 4
    assert all(port + 10000 < 55000 for port in ports)
    assert ports_are_free(ports)


def test_lines_have_their_parts_name_and_no_colour_off_a_terminal() -> None:
    out = io.StringIO()
    LogStream(out).component("rest", shows=lambda line: line != "noise")("hello")
    LogStream(out).component("rest", shows=lambda line: line != "noise")("noise")
    assert out.getvalue() == "rest   | hello\n"


def test_lines_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    LogStream(out).component("rest")("hello")
    assert out.getvalue() == "\x1b[32mrest   |\x1b[0m hello\n"


def test_reader_that_went_away_stops_no_part() -> None:
    lost: list[str] = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            lost.append(text)
            raise BrokenPipeError

    write = LogStream(Gone()).component("rest")
    write("one")
    write("two")
    assert "one" in lost[0]


def test_frame_is_as_wide_as_its_longest_line() -> None:
    assert framed(["ab", "c"]).splitlines() == ["********", "*  ab  *", "*  c   *", "********"]
