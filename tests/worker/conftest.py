"""A worker in this process around a stub separation process, on a real Valkey and a real S3 server."""

from dataclasses import replace

import pytest

from msaas.maintenance.housekeeping import Housekeeper
from tests.support.worker_bench import Bench


@pytest.fixture
def bench(settings, queue, storage, tmp_path):
    bench = Bench(replace(settings, grace_seconds=0), queue, storage, tmp_path)
    housekeeper = Housekeeper(queue, storage, every_seconds=0.2)
    housekeeper.start()
    yield bench
    bench.close()
    housekeeper.stop()
