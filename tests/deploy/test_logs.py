"""Every part's lines reach the log printer; no part ever waits for it, or for Redis."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisAway

from msaas.local.processes.child import wait_until
from msaas.queue import connect
from msaas.telemetry.log_shipping import CHANNEL, LogShipper, ship_logs
from tests.deploy.conftest import OURS, REPOSITORY, named, probes, render
from tests.support.environment import BUSY_SECONDS

PRINTER = REPOSITORY / "logs" / "logs.py"
PROBE = probes(named(render("base"), "Deployment", "logs"))["livenessProbe"]["exec"]["command"]


def printer():
    spec = importlib.util.spec_from_file_location("logs_printer", PRINTER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def logger():
    made = logging.getLogger("msaas.somewhere")
    made.setLevel(logging.INFO)
    made.propagate = False
    yield made
    for handler in list(made.handlers):
        made.removeHandler(handler)
        handler.close()


# --- the publishers


def test_a_line_arrives_with_its_part_level_and_traceback(logger):
    sent: queue.Queue[str] = queue.Queue()
    logger.addHandler(LogShipper(sent.put, "worker"))
    try:
        raise ValueError("of no use")
    except ValueError:
        logger.exception("failed job=%s", "x")
    line = json.loads(sent.get(timeout=60))
    assert (line["part"], line["level"], line["logger"], line["message"]) == (
        "worker",
        "error",
        "msaas.somewhere",
        "failed job=x",
    )
    assert line["traceback"].endswith("ValueError: of no use")


def test_with_redis_away_logging_takes_no_time_and_drops_are_counted(logger):
    def away(_line: str) -> None:
        raise RedisAway("away")

    shipper = LogShipper(away, "worker", capacity_lines=10, retry_seconds=0.1)
    logger.addHandler(shipper)
    began = time.monotonic()
    for number in range(5000):
        logger.info("line %d", number)
    assert time.monotonic() - began < BUSY_SECONDS  # a wait for each line would take minutes
    assert 4980 <= shipper.dropped < 5000


def test_once_redis_is_back_it_is_told_how_many_lines_were_dropped(logger):
    back, sent = threading.Event(), []

    def publish(line: str) -> None:
        if not back.is_set():
            raise RedisAway("away")
        sent.append(json.loads(line))

    shipper = LogShipper(publish, "worker", capacity_lines=5, retry_seconds=0.01)
    logger.addHandler(shipper)
    for number in range(50):
        logger.info("line %d", number)
    dropped = shipper.dropped
    back.set()
    assert wait_until(lambda: any("dropped" in line["message"] for line in sent), 60)
    assert sent[0]["message"] == "line 0"
    assert f"log lines were dropped count={dropped}" in [line["message"] for line in sent]


def test_a_publisher_that_hangs_holds_up_nobody(logger):
    hold = threading.Event()
    logger.addHandler(LogShipper(lambda _line: hold.wait(), "worker"))
    began = time.monotonic()
    for _ in range(100):
        logger.info("line")
    assert time.monotonic() - began < BUSY_SECONDS
    hold.set()


def test_closing_sends_what_waits(logger):
    sent = []
    shipper = LogShipper(sent.append, "rest")
    logger.addHandler(shipper)
    for number in range(100):
        logger.info("line %d", number)
    shipper.close()
    assert len(sent) == 100


def test_lines_of_the_publishing_itself_are_not_published(logger):
    sent = []

    def publish(line: str) -> None:
        sent.append(line)
        logger.warning("published one")

    logger.addHandler(LogShipper(publish, "rest"))
    logger.info("one")
    time.sleep(0.2)
    assert len(sent) == 1


def test_a_line_whose_arguments_do_not_fit_is_dropped_not_raised():
    shipper = LogShipper(lambda _line: None, "rest")
    shipper.emit(logging.LogRecord("msaas", logging.INFO, "here.py", 1, "%d songs", ("many",), None))
    shipper.close()
    assert shipper.dropped == 1


def test_lines_go_to_redis_under_the_channel_that_is_listened_to(valkey, redis):
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(CHANNEL)
        pubsub.get_message(timeout=60)
        shipper = ship_logs(connect(valkey.address, timeout_seconds=3), "rest")
        try:
            logging.getLogger("msaas.test").warning("here")
            found = []
            assert wait_until(lambda: found.append(pubsub.get_message(timeout=0.5)) or found[-1] is not None, 60)
        finally:
            logging.getLogger().removeHandler(shipper)
            shipper.close()
    assert json.loads(found[-1]["data"])["message"] == "here"
    assert printer().CHANNELS == (CHANNEL, "events")


# --- the printer


def test_log_lines_and_changes_of_stage_are_readable():
    readable = printer().Readable()
    record = {
        "at": "T",
        "part": "rest",
        "host": "h",
        "level": "info",
        "logger": "l",
        "message": "m",
        "traceback": "a\nb",
    }
    assert list(readable("logs", record)) == ["T rest h info l m", "    a", "    b"]
    event = {"songhash": "s", "state": "running", "stage": "separating", "progress": 0.25, "at_ms": 0}
    assert list(readable("events", event)) == ["1970-01-01T00:00:00+00:00 job s running separating 25%"]
    assert list(readable("events", event | {"progress": 0.5})) == []
    assert len(list(readable("events", event | {"state": "done", "stage": ""}))) == 1


def test_ended_jobs_are_forgotten():
    readable = printer().Readable()
    for number in range(100):
        list(readable("events", {"songhash": str(number), "state": "running", "stage": "x"}))
        list(readable("events", {"songhash": str(number), "state": "done", "stage": ""}))
    assert not readable._seen


@pytest.mark.parametrize("text", ["[1, 2]", "no json", '"text"', "{", "null"])
def test_anything_may_be_published(text):
    module = printer()
    for channel in module.CHANNELS:
        record = module.read(text)
        list(module.Readable()(channel, record))
        assert json.loads(next(module.as_json(channel, record)))["channel"] == channel


def test_control_characters_do_not_reach_the_terminal():
    [line] = printer().log_lines({"message": "a\x1b[2Jb\nc"})
    assert line.endswith("a·[2Jb·c")


class Printing:
    def __init__(self, address: str, folder: Path, *arguments: str) -> None:
        self.output = folder / "output"
        self.env = {**os.environ, "REDIS_HOST": address, "TMPDIR": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, str(PRINTER), *arguments],
            env=self.env,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
        )

    def text(self) -> str:
        return self.output.read_text(encoding="utf-8")

    def probe(self) -> int:
        """The pod's probe, with this folder for its /scratch."""
        command = [part.replace("/scratch", self.env["TMPDIR"]) for part in PROBE]
        return subprocess.run(command, check=False).returncode


@pytest.fixture
def printing(tmp_path):
    started = []

    def start(address: str, *arguments: str) -> Printing:
        started.append(Printing(address, tmp_path, *arguments))
        return started[-1]

    yield start
    for found in started:
        found.process.kill()
        found.process.wait()


def test_it_prints_what_is_published_until_sigterm(printing, valkey, redis):
    printed = printing(valkey.address, "--json")
    assert wait_until(lambda: "listening on" in printed.text(), 60), printed.text()
    redis.publish("logs", json.dumps({"message": "hello"}))
    assert wait_until(lambda: '"message": "hello"' in printed.text(), 60), printed.text()
    assert printed.probe() == 0
    printed.process.terminate()
    assert printed.process.wait(timeout=60) == 0


def test_with_redis_away_it_is_alive_and_goes_on_trying(printing):
    printed = printing("127.0.0.1:1")
    assert wait_until(lambda: printed.text().count("is away") >= 2, 60), printed.text()
    assert printed.probe() == 0
    assert printed.process.poll() is None


def test_a_printer_that_hangs_fails_its_probe_and_the_probe_starts_no_python(printing, valkey):
    printed = printing(valkey.address)
    assert wait_until(lambda: printed.probe() == 0, 60)
    printed.process.kill()
    printed.process.wait()
    heartbeat = Path(printed.env["TMPDIR"]) / "msaas-logs.alive"
    os.utime(heartbeat, (heartbeat.stat().st_mtime - 61,) * 2)
    assert printed.probe() == 1
    heartbeat.unlink()
    assert printed.probe() == 1
    assert not any("python" in part for part in PROBE)


def test_its_image_needs_redis_and_what_that_needs_in_the_release_that_the_others_have():
    locked = [(REPOSITORY / part / "requirements.txt").read_text().splitlines() for part in OURS]
    release = {line for lines in locked for line in lines if line.startswith("redis==")}
    assert len(release) == 1
    pinned = [line for line in locked[OURS.index("logs")] if not line.startswith(("#", " "))]
    assert pinned[0] in release
    assert [line.partition("==")[0] for line in pinned[1:]] == ["async-timeout"]


def test_it_starts_with_no_package_but_redis():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES, str(PRINTER)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage: logs.py" in done.stdout


# async_timeout is what redis itself asks for on older Pythons.
WITHOUT_PACKAGES = """
import runpy, sys
allowed = sys.stdlib_module_names | {"redis", "async_timeout", "msaas"}
class Refuse:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is None and name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is not in the image of the log printer")
sys.meta_path.insert(0, Refuse)
sys.argv = [sys.argv[1], "--help"]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
