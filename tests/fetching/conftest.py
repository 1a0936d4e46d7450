"""Songs on web servers, and a fetcher with real queues and storage whose turns a test takes itself."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from msaas.errors import FetchRefused
from msaas.fetching.bucket import BucketSource
from msaas.fetching.download import Download, DownloadLimits, FetchedSong
from msaas.fetching.fetcher import Fetcher
from msaas.fetching.http import HttpSource
from msaas.fetching.run import FetchContext, FetchLimits
from msaas.fetching.sources import SourcePolicy
from msaas.outbound.targets import TargetPolicy
from msaas.queue import FETCH_KEYS, Queue
from msaas.settings.networks import parse_networks
from msaas.storage import Storage
from tests.support.api import URL, client, done, fake_probe, make_app, player, scratch, song
from tests.support.environment import BUSY_SECONDS
from tests.support.song_server import SongServer, serving_song

__all__ = ["client", "done", "make_app", "player", "scratch", "song"]

TLS = ssl.create_default_context()
HOME = parse_networks("127.0.0.0/8")
LIMITS = DownloadLimits(10_000_000, BUSY_SECONDS, BUSY_SECONDS, 1)


def home_policy(**more: Any) -> TargetPolicy:
    return TargetPolicy(**({"allow": HOME, "refusal": FetchRefused, "name": "url"} | more))


@pytest.fixture
def server() -> Iterator[Callable[..., SongServer]]:
    """Starts servers; `server(data, …)`."""
    with ExitStack() as started:
        yield lambda *args, **more: started.enter_context(serving_song(SongServer(*args, **more)))


@pytest.fixture
def download(tmp_path: Path) -> Callable[..., FetchedSong]:
    """Reads a URL to disk; pauses take no time."""

    def read(url: str, *, policy: TargetPolicy | None = None, **more: Any) -> FetchedSong:
        source_options = {name: more.pop(name) for name in ("resolve", "connect", "idle_seconds") if name in more}
        source = HttpSource(url, policy or home_policy(), TLS, **source_options)
        hooks = {"progress": lambda _: None, "check": lambda: None, "pause": lambda _: None, "waiting": lambda _: None}
        hooks |= {name: more.pop(name) for name in tuple(hooks) if name in more}
        return Download(source, tmp_path / "fetched", replace(LIMITS, **more), **hooks).run()

    return read


@pytest.fixture
def fetches(redis: Any) -> Queue:
    return Queue(redis, lease_seconds=0.2, max_attempts=3, keys=FETCH_KEYS)  # reaped by tests only


@pytest.fixture
def make_fetcher(fetches: Queue, queue: Queue, storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Fetcher; `changed` are fields of its FetchContext."""

    def make(*, buckets: tuple[str, ...] = (), **changed: Any) -> Fetcher:
        policy = SourcePolicy(home_policy(), buckets)

        def open_source(url: str) -> Any:
            if url.startswith("s3://"):
                return BucketSource(policy.stored(url), storage)
            return HttpSource(url, policy.targets, TLS)

        context = FetchContext(
            fetches=fetches,
            songs=queue,
            storage=storage,
            probe=fake_probe,
            open_source=open_source,
            limits=FetchLimits(LIMITS, 14_400),
            scratch_dir=tmp_path_factory.mktemp("fetches"),
            heartbeat_seconds=0.1,
        )
        return Fetcher(replace(context, **changed))

    return make


@pytest.fixture
def fetcher(make_fetcher: Callable[..., Fetcher]) -> Fetcher:
    return make_fetcher()


@pytest.fixture
def home(make_app: Callable[..., Any]) -> FlaskClient:
    """The API of a home network: loopback may be fetched from."""
    client: FlaskClient = make_app(fetch_allow=HOME).test_client()
    return client


def by_address(client, url, **more):
    answer = client.post(URL, json={"url": url, **more})
    assert answer.status_code == 202, answer.text
    return answer.json["songhash"]


def job(client, name):
    return client.get(f"/apiv1/jobs/{name}").json


def callbacks_of(client, name):
    return [(one["to"], one["state"]) for one in job(client, name).get("callbacks", ())]
