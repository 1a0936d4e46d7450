"""A worker in this process around a stub separation process, on a real Valkey and a real S3 server."""

from dataclasses import replace

import pytest

from msaas.maintenance.housekeeping import Housekeeper
from tests.support.worker_harness import WorkerHarness


@pytest.fixture
def harness(settings, queue, storage, tmp_path):
    harness = WorkerHarness(replace(settings, grace_seconds=0), queue, storage, tmp_path)
    housekeeper = Housekeeper(queue, storage, every_seconds=0.2)
    housekeeper.start()
    yield harness
    harness.close()
    housekeeper.stop()
