"""The local stack: nothing left behind, nothing lost, and refused at once what would go wrong later."""

from __future__ import annotations

import io
import json
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import psutil
import pytest

from msaas.local.servers import Valkey, Weed, free_port
from msaas.settings import Settings
from msaas.storage import INPUTS, Storage
from msaas.wiring.stores import build_queue, build_redis, build_storage


def settings_of(stack: Any) -> Settings:
    """How to reach the servers of a stack that runs."""
    ports = json.loads((stack.folder / "ports.json").read_text())
    keys = json.loads((stack.folder / "keys.json").read_text())
    return Settings.from_env(
        {
            "REDIS_HOST": f"127.0.0.1:{ports['valkey'][0]}",
            "MINIO_HOST": f"127.0.0.1:{ports['s3'][3]}",
            "MINIO_ACCESS_KEY": keys["access"],
            "MINIO_SECRET_KEY": keys["secret"],
        }
    )


def test_killed_stack_leaves_no_child_and_no_grandchild(start_stack: Any) -> None:
    stack = start_stack().wait_ready()
    family = stack.family
    names = sorted(process.name() for process in family)
    assert [name for name in names if not name.startswith("python")] == ["sleep", "sleep", "valkey-server", "weed"]
    stack.end(signal.SIGKILL)
    assert stack.gone(family)


def test_two_sigterms_end_it_once_in_order_within_30_seconds(start_stack: Any) -> None:
    stack = start_stack().wait_ready()
    family = stack.family
    stack.process.send_signal(signal.SIGTERM)
    seconds, said = stack.end(signal.SIGTERM)
    assert stack.process.returncode == 0
    assert seconds < 30
    assert [event for event in stack.events() if "stop" in event] == [
        "rest stopping",
        "rest stopped",
        "worker stopping",
        "worker stopped",
    ]
    stops = [line.split("|")[1].split()[0] for line in said.splitlines() if "stopped seconds=" in line]
    assert stops == ["rest", "worker", "s3", "valkey"]
    assert stack.gone(family, 0)


def test_taken_port_is_a_clear_error_before_anything_starts(start_stack: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stack = start_stack(MSAAS_PORT=str(port))
        said, _ = stack.process.communicate(timeout=60)
    assert stack.process.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in said
    assert "MSAAS_PORT=" in said
    assert not (stack.folder / "valkey").exists()
    assert stack.events() == []


@pytest.mark.slow
def test_second_stack_in_the_folder_is_refused_and_the_first_goes_on(start_stack: Any) -> None:
    first = start_stack().wait_ready()
    second = start_stack()
    said, _ = second.process.communicate(timeout=60)
    assert second.process.returncode == 1
    assert f"already running in {first.folder}" in said
    assert str(first.process.pid) in said
    assert first.process.poll() is None
    assert first.live.pid == first.process.pid


@pytest.mark.slow
def test_redis_that_runs_already_is_used_and_left_running(start_stack: Any, valkey: Valkey, redis: Any) -> None:
    stack = start_stack(REDIS_HOST=valkey.address).wait_ready()
    assert any(f"redis={valkey.address}" in event for event in stack.events())
    assert "valkey-server" not in [process.name() for process in stack.family]
    stack.end()
    assert redis.ping()


@pytest.mark.slow
def test_store_that_runs_already_is_used_and_left_running(start_stack: Any, s3: Weed, storage: Storage) -> None:
    keys = {"MINIO_ACCESS_KEY": s3.keys.access, "MINIO_SECRET_KEY": s3.keys.secret}
    stack = start_stack(MINIO_HOST=s3.address, **keys).wait_ready()
    assert "weed" not in [process.name() for process in stack.family]
    stack.end()
    storage.ping()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_restart_keeps_objects_and_queue(start_stack: Any, ending: signal.Signals) -> None:
    first = start_stack().wait_ready()
    settings = settings_of(first)
    song = bytes(range(256)) * 20_000
    storage = build_storage(settings)
    storage.ensure_buckets()
    storage.client.put_object(INPUTS, "song.mp3", io.BytesIO(song), len(song))
    build_redis(settings).rpush("toWorkers", "a", "b")
    first.end(ending)

    again = start_stack().wait_ready()
    settings = settings_of(again)
    assert build_queue(settings).waiting() == ["a", "b"]
    client = build_storage(settings).client
    assert client.get_object(INPUTS, "song.mp3").data == song
    client.put_object(INPUTS, "another.mp3", io.BytesIO(song), len(song))
    assert client.get_object(INPUTS, "another.mp3").data == song


@pytest.mark.slow
def test_append_only_file_cut_short_costs_only_its_last_command(start_stack: Any) -> None:
    first = start_stack().wait_ready()
    build_redis(settings_of(first)).rpush("toWorkers", "a", "b")
    first.end(signal.SIGKILL)
    files = list((first.folder / "valkey" / "appendonlydir").glob("*.incr.aof"))
    with max(files, key=lambda file: file.stat().st_mtime).open("ab") as file:
        file.write(b"*3\r\n$5\r\nRPUSH\r\n$9\r\ntoWor")
    again = start_stack().wait_ready()
    assert build_queue(settings_of(again)).waiting() == ["a", "b"]


@pytest.mark.slow
def test_part_that_dies_is_brought_back_and_leaves_nothing_behind(start_stack: Any) -> None:
    stack = start_stack().wait_ready()
    born = next(event for event in stack.events() if event.startswith("rest started")).split()
    pid, child = (int(word.partition("=")[2]) for word in born if word.startswith(("pid=", "child=")))
    left = psutil.Process(child)
    psutil.Process(pid).kill()
    assert stack.until(lambda: sum(event.startswith("rest started") for event in stack.events()) == 2)
    assert stack.gone([left])
    _, said = stack.end()
    assert "rest ended (killed by SIGKILL); restarting in 0.5 seconds" in said


@pytest.mark.slow
def test_valkey_that_dies_comes_back_with_what_it_held(start_stack: Any) -> None:
    stack = start_stack().wait_ready()
    settings = settings_of(stack)
    build_redis(settings).rpush("toWorkers", "a")
    next(process for process in stack.family if process.name() == "valkey-server").kill()

    def holds() -> bool:
        try:
            return build_queue(settings).waiting() == ["a"]
        except Exception:
            return False

    assert stack.until(holds)


@pytest.mark.slow
def test_everything_listens_on_loopback_only_and_the_keys_are_private(start_stack: Any) -> None:
    stack = start_stack().wait_ready()
    listening = [
        connection.laddr.ip
        for process in stack.family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 11
    assert set(listening) == {"127.0.0.1"}
    for name in ("keys.json", "s3/s3.json"):
        assert stat.S_IMODE((stack.folder / name).stat().st_mode) == 0o600


def test_redis_that_does_not_answer_is_a_clear_error(start_stack: Any, tmp_path: Path) -> None:
    away = f"127.0.0.1:{free_port()}"
    stack = start_stack(REDIS_HOST=away)
    said, _ = stack.process.communicate(timeout=40)
    assert stack.process.returncode == 1
    assert f"REDIS_HOST={away} is not usable" in said


@pytest.mark.slow
def test_part_that_ends_while_starting_is_shown_with_its_last_lines(start_stack: Any) -> None:
    stack = start_stack(STANDIN_ENDS="worker")
    said, _ = stack.process.communicate(timeout=40)
    assert stack.process.returncode == 1
    assert "worker ended while starting (exit status 1); its last output:" in said
    assert "it has no reason to go on" in said


@pytest.mark.parametrize("setting", ["MSAAS_PORT", "MSAAS_WORKER_HTTP_PORT"])
def test_taken_port_is_refused_before_anything_is_started(start_stack: Any, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stack = start_stack(**{setting: str(port)})
        said, _ = stack.process.communicate(timeout=40)
    assert stack.process.returncode == 1
    assert said.startswith(f"msaas: port {port} on 127.0.0.1 is taken; stop the process that uses it")
    assert not stack.events()


def test_worker_port_of_none_is_no_reason_not_to_become_ready(start_stack: Any) -> None:
    stack = start_stack(MSAAS_WORKER_HTTP_PORT="0").wait_ready()
    assert stack.live is not None


def test_address_that_is_none_of_this_machine_is_said_to_be(start_stack: Any) -> None:
    stack = start_stack(MSAAS_HOST="192.0.2.1")  # TEST-NET-1
    said, _ = stack.process.communicate(timeout=40)
    assert stack.process.returncode == 1
    assert "cannot listen on 192.0.2.1: " in said
    assert "taken" not in said
