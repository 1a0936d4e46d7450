"""Real servers for every test that needs one: started once a session, emptied before each test, never left behind."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from msaas.local.servers import Keys, Valkey, Weed, running
from msaas.queue import Queue, connect
from msaas.separation import PROCESS_ENVIRONMENT
from msaas.settings import Settings
from msaas.storage import Storage
from tests.support.environment import LEASE_SECONDS, LEFT_OUT, service_environ

# How long an example takes says how busy the machine is; what is slow is for the benchmarks to find.
hypothesis.settings.register_profile("msaas", deadline=None)
hypothesis.settings.load_profile("msaas")

# A run that was started in the background ignores Ctrl-C, and so would every process that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# torch reads it while loading, which is later. OpenMP's threads would otherwise spin while they wait for each other:
# beside other processes, the tests then take twice the time and more than twice the processor time.
os.environ.setdefault("OMP_WAIT_POLICY", PROCESS_ENVIRONMENT["OMP_WAIT_POLICY"])

TESTS = Path(__file__).resolve().parent

# Files are handed to the processes of pytest-xdist in this order: the longest first, so that none is left at the end.
LONGEST_FIRST = ("page", "e2e", "records", "chaos", "queue", "local", "auth", "deploy", "separation", "worker")
# A folder's files share one service, which takes 7 s of a core to start. The first that matches counts: all of `page`
# would take longer than any other process.
ONE_SERVICE = ("tests/e2e/", "tests/page/player/", "tests/page/")
DESELECTED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DESELECTED] = []


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than cores: tests wait for servers, and listen in real time. Each takes up to 1.5 GB."""
    return min(6, len(os.sched_getaffinity(0)) + 2) if hasattr(os, "sched_getaffinity") else 4


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """`--dist loadfile`, but for the folders whose files share a service: each of them goes to one process whole."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrFolder(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next(filter(nodeid.startswith, ONE_SERVICE), super()._split_scope(nodeid))

    return ByFileOrFolder(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    for item in items:
        item.config.stash[DESELECTED].append(item.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist each process collects for itself; the first one's list goes to the one that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["deselected"] = session.config.stash[DESELECTED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[DESELECTED] = getattr(node, "workeroutput", {}).get("deselected", [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Names what did not run: what this machine cannot, and what was deselected."""
    skipped = terminalreporter.stats.get("skipped", [])
    found = sorted((report.nodeid, str(report.longrepr)) for report in skipped if LEFT_OUT in str(report.longrepr))
    if found:
        terminalreporter.section("tests left out", red=True, bold=True)
        terminalreporter.line(found[0][1].partition(LEFT_OUT)[2].strip().removesuffix("')"))
        for name, _ in found:
            terminalreporter.line(f"  {name}")
    deselected = config.stash[DESELECTED]
    if deselected and config.option.markexpr:
        terminalreporter.section(f"{len(deselected)} tests left out by -m '{config.option.markexpr}'", bold=True)
        counts = Counter(nodeid.partition("::")[0] for nodeid in deselected)
        for name, count in sorted(counts.items()):
            terminalreporter.line(f"  {name}: {count}")
        terminalreporter.line("`make test-all` runs them as well")


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """`.address` is its host:port. What has to survive a crash is tested on servers of its own."""
    with running(lambda: Valkey(tmp_path_factory.mktemp("valkey"))) as server:
        with connect(server.address) as client:
            client.config_set("appendfsync", "no")  # no wait for the disk at each command
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """`.address` is its host:port, `.keys.access` and `.keys.secret` its credentials."""
    with running(lambda: Weed(tmp_path_factory.mktemp("s3"), Keys.new())) as server:
        yield server


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Any]:
    """A client of the server, flushed. Typed Any, as in msaas.queue: its stubs speak of bytes."""
    client = connect(valkey.address)
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


@pytest.fixture
def environ(valkey: Valkey, s3: Weed, tmp_path: Path) -> dict[str, str]:
    return service_environ(valkey, s3, tmp_path)


@pytest.fixture
def settings(environ: dict[str, str]) -> Settings:
    return Settings.from_env(environ)
