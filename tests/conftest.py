"""Real servers for every test that needs one: started once a session, emptied before each test, never left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from msaas.local.servers import Keys, Valkey, Weed, free_port, running
from msaas.queue import Queue, connect
from msaas.settings import Settings
from msaas.storage import Storage

# How long an example takes says how busy the machine is; what is slow is for the benchmarks to find.
hypothesis.settings.register_profile("msaas", deadline=None)
hypothesis.settings.load_profile("msaas")

# A run that was started in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parent.parent
LEASE_SECONDS = 2.0
HEARTBEAT_SECONDS = 0.2
LEFT_OUT = "left out:"  # begins the reason of a skip that a run is to name at its end


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tests that this machine cannot run are named, not passed over."""
    skipped = terminalreporter.stats.get("skipped", [])
    found = sorted((report.nodeid, str(report.longrepr)) for report in skipped if LEFT_OUT in str(report.longrepr))
    if found:
        terminalreporter.section("tests left out", red=True, bold=True)
        terminalreporter.line(found[0][1].partition(LEFT_OUT)[2].strip().removesuffix("')"))
        for name, _ in found:
            terminalreporter.line(f"  {name}")


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """`.address` is its host:port."""
    with running(lambda: Valkey(tmp_path_factory.mktemp("valkey"))) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """`.address` is its host:port, `.keys.access` and `.keys.secret` its credentials."""
    with running(lambda: Weed(tmp_path_factory.mktemp("s3"), Keys.new())) as server:
        yield server


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Any]:
    """A client of the server, flushed. Typed Any, as in msaas.queue: its stubs speak of bytes."""
    client = connect(Settings.from_env({"REDIS_HOST": valkey.address}))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def queue(redis: Any) -> Queue:
    return Queue(redis, lease_seconds=LEASE_SECONDS, max_attempts=3)


@pytest.fixture
def storage(s3: Weed) -> Storage:
    """Both buckets are there, and empty."""
    storage = s3.storage()
    storage.ensure_buckets()
    storage.empty()
    return storage


def service_environ(valkey: Valkey, s3: Weed, scratch: Path) -> dict[str, str]:
    """The settings as environment variables, for what is started as a process of its own."""
    return {
        "REDIS_HOST": valkey.address,
        "MINIO_HOST": s3.address,
        "MINIO_ACCESS_KEY": s3.keys.access,
        "MINIO_SECRET_KEY": s3.keys.secret,
        "MSAAS_PORT": str(free_port()),
        "MSAAS_WORKER_HTTP_PORT": str(free_port()),
        "MSAAS_SCRATCH_DIR": str(scratch),
        "MSAAS_MODEL": "htdemucs_mini",
        "MSAAS_MODEL_REPO": str(REPOSITORY / "models"),
        "MSAAS_DEVICE": "cpu",  # the same on each machine, whatever else it has
        "MSAAS_PRECISION": "fp32",
        "MSAAS_DEBUG_ENDPOINTS": "true",
        "MSAAS_LEASE_SECONDS": str(LEASE_SECONDS),
        "MSAAS_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    }


@pytest.fixture
def environ(valkey: Valkey, s3: Weed, tmp_path: Path) -> dict[str, str]:
    return service_environ(valkey, s3, tmp_path)


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return Settings.from_env(environ)
