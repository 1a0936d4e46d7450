"""The whole service as its users meet it: API and worker as processes, real Valkey, real S3, htdemucs_mini."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from msaas.local.processes.child import Child, ProcessGuard, wait_until
from msaas.local.servers import Keys, Valkey, Weed, free_port, running
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.wiring.stores import build_redis, build_storage
from tests.support.environment import service_environ

READY_SECONDS = 180


class Service:
    """The API and one worker; each may be killed and started again."""

    def __init__(self, environ: dict[str, str], guard: ProcessGuard) -> None:
        self.env = dict(os.environ) | environ
        self.url = f"http://127.0.0.1:{environ['MSAAS_PORT']}"
        self.worker_url = f"http://127.0.0.1:{environ['MSAAS_WORKER_HTTP_PORT']}"
        self._guard = guard
        self.parts: dict[str, Child] = {}

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.env)

    @property
    def storage(self) -> Storage:
        return build_storage(self.settings)

    @contextmanager
    def redis(self) -> Iterator[Any]:
        with build_redis(self.settings) as client:
            yield client

    @contextmanager
    def another_api(self, **environ: str) -> Iterator[Service]:
        """A second API with other settings, in front of the same worker."""
        with running_service(self.env | environ | {"MSAAS_PORT": str(free_port())}) as service:
            service.start("api")
            yield service

    def start(self, *names: str) -> None:
        for name in names:
            argv = [sys.executable, "-m", {"api": "msaas.web", "worker": "msaas.worker"}[name]]
            self.parts[name] = Child(argv, guard=self._guard, env=self.env)
        for name in names:
            url = {"api": self.url, "worker": self.worker_url}[name]
            assert wait_until(lambda: self.answers(f"{url}/readyz"), READY_SECONDS), self.parts[name].tail  # noqa: B023

    def answers(self, url: str) -> bool:
        try:
            return requests.get(url, timeout=60).status_code == 200
        except requests.RequestException:
            return False

    def kill(self, name: str) -> None:
        """kill -9 of the process itself; what it started has to notice by itself."""
        self.parts.pop(name).process.kill()

    def separation_process(self) -> psutil.Process:
        [child] = psutil.Process(self.parts["worker"].pid).children()
        return child

    def post(self, song: bytes, **options: str) -> requests.Response:
        headers = {"Content-Type": "audio/mpeg"}
        return requests.post(f"{self.url}/apiv1/separate", data=song, params=options, headers=headers, timeout=60)

    def submit(self, song: bytes, **options: str) -> str:
        answer = self.post(song, **options)
        assert answer.status_code in (200, 202), answer.text
        return str(answer.json()["songhash"])

    def job(self, songhash: str) -> dict:
        return requests.get(f"{self.url}/apiv1/jobs/{songhash}", timeout=60).json()

    def until(self, songhash: str, *states: str, seconds: float = 120) -> dict:
        job: dict = {}

        def there() -> bool:
            job.update(self.job(songhash))
            return job["state"] in states or job["state"] in ("done", "failed", "cancelled")

        assert wait_until(there, seconds, pause_seconds=0.1), job
        assert job["state"] in states, job
        return job

    def until_separating(self, songhash: str) -> None:
        assert wait_until(lambda: self.job(songhash)["stage"] == "separating", 60), self.job(songhash)

    def stem(self, songhash: str, stem: str) -> bytes:
        answer = requests.get(f"{self.url}/apiv1/track/{songhash}-{stem}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.content

    def stop(self) -> None:
        for child in self.parts.values():
            child.stop(20)


@contextmanager
def running_service(environ: dict[str, str]) -> Iterator[Service]:
    guard = ProcessGuard()
    service = Service(environ, guard)
    try:
        yield service
    finally:
        service.stop()
        guard.close()


@contextmanager
def shared_service(folder: Path, **environ: str) -> Iterator[Service]:
    """API and worker on servers of their own, which no test empties; each test sends songs of its own."""
    with running(lambda: Valkey(folder / "valkey")) as valkey, running(lambda: Weed(folder / "s3", Keys.new())) as s3:
        s3.storage().ensure_buckets()
        with running_service({**service_environ(valkey, s3, folder), **environ}) as service:
            service.start("api", "worker")
            yield service
