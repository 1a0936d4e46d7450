"""A worker in this process around a stub separation process, on a real Valkey and a real S3 server."""

from dataclasses import replace

import pytest

from msaas.maintenance.housekeeping import Housekeeper
from tests.support.environment import REPOSITORY
from tests.support.worker_harness import WorkerHarness


@pytest.fixture
def harness(settings, queue, storage, tmp_path):
    harness = WorkerHarness(replace(settings, grace_seconds=0), queue, storage, tmp_path)
    housekeeper = Housekeeper(queue, storage, every_seconds=0.2)
    housekeeper.start()
    yield harness
    harness.close()
    housekeeper.stop()


@pytest.fixture
def small_model(monkeypatch):
    """Settings of a separation process with htdemucs_mini, in float32 on one thread: the same on each machine."""
    for name, value in {
        "MSAAS_MODEL": "htdemucs_mini",
        "MSAAS_MODEL_REPO": str(REPOSITORY / "models"),
        "MSAAS_DEVICE": "cpu",
        "MSAAS_PRECISION": "fp32",
        "MSAAS_CPU_THREADS": "1",  # one segment at a time
    }.items():
        monkeypatch.setenv(name, value)
