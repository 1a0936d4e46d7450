"""Replicas of Redis that confirm posts, and Sentinels that name the primary."""

import os
import signal
from contextlib import contextmanager

import pytest

from msaas.errors import QueueUnavailable
from msaas.local.processes.child import wait_until
from msaas.local.servers import LOOPBACK, Valkey, running
from msaas.queue import Queue
from msaas.redis_client import connect
from tests.support.servers.redis_kinds import Replica, SentinelServer

NAME = "main"
FAILOVER_SECONDS = 60
FIELDS = {"model": "htdemucs", "bytes": "1"}


@pytest.fixture
def primary(tmp_path):
    with running(lambda: Valkey(tmp_path / "primary")) as server:
        yield server


@pytest.fixture
def replica(tmp_path, primary):
    with running(lambda: Replica(tmp_path / "replica", primary)) as server:
        yield server


@pytest.fixture
def sentinel(tmp_path, primary, replica):
    with running(lambda: SentinelServer(tmp_path / "sentinel", primary, NAME)) as server:
        yield server


def process_of(server: Valkey) -> int:
    with connect(server.address) as client:
        return int(client.info("server")["process_id"])


@contextmanager
def stopped(server: Valkey):
    """Its process stands still."""
    pid = process_of(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_post_is_accepted_once_a_replica_has_it(primary, replica):
    with connect(primary.address) as client, connect(replica.address) as other:
        queue = Queue(client, replicas=1)
        queue.submit("a", FIELDS)
        assert other.lrange("toWorkers", 0, -1) == ["a"]
        assert other.hget("job:a", "model") == "htdemucs"


def test_a_post_that_no_replica_has_is_refused_and_known_when_it_is_repeated(primary, replica):
    with connect(primary.address) as client:
        queue = Queue(client, replicas=1)
        with stopped(replica), pytest.raises(QueueUnavailable, match="0 of 1 replicas"):
            queue.submit("a", FIELDS)
        queue.submit("a", FIELDS)
        assert client.lrange("toWorkers", 0, -1) == ["a"]


def test_without_the_setting_nothing_waits_for_replicas(primary, replica):
    with connect(primary.address) as client, stopped(replica):
        Queue(client).submit("a", FIELDS)
        assert client.lrange("toWorkers", 0, -1) == ["a"]


def test_the_primary_that_sentinel_names_is_used_after_a_failover(primary, replica, sentinel):
    address = f"redis+sentinel://{LOOPBACK}:{sentinel.port}/{NAME}"
    with connect(address, timeout_seconds=3) as client:
        queue = Queue(client, replicas=1)
        for songhash in ("a", "b", "c"):
            queue.submit(songhash, FIELDS)
        os.kill(process_of(primary), signal.SIGKILL)
        with pytest.raises(QueueUnavailable):
            queue.submit("d", FIELDS)
        alone = Queue(client)  # without replicas: the only one has become the primary

        def submitted() -> bool:
            try:
                alone.submit("d", FIELDS)
            except QueueUnavailable:
                return False
            return True

        assert wait_until(submitted, FAILOVER_SECONDS)
        assert sorted(client.lrange("toWorkers", 0, -1)) == ["a", "b", "c", "d"]
        assert process_of(replica) == client.info("server")["process_id"]
