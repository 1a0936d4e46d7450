"""The whole service as its users meet it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import Service, running_service, shared_service


@pytest.fixture
def service(environ, redis, storage) -> Iterator[Service]:
    """Not started yet, on an empty queue and empty buckets; its parts are the test's to kill."""
    with running_service(environ) as service:
        yield service


@pytest.fixture(scope="package")
def live(tmp_path_factory) -> Iterator[Service]:
    """One for the tests of this folder: to load the model takes longer than most songs here."""
    with shared_service(tmp_path_factory.mktemp("live"), MSAAS_MODELS="scnet_mini,msaas_mini") as service:
        yield service
