"""A worker in this process around a stub separation process, on a real Valkey and a real S3 server."""

import json
import sys
import threading
import time
import uuid
from dataclasses import replace

from msaas.queue.worker_registry import Worker
from msaas.wiring.stores import build_queue, build_storage
from msaas.wiring.worker import build_supervisor
from msaas.worker.process import SeparationProcess
from tests.support.environment import REPOSITORY

STUB = (sys.executable, str(REPOSITORY / "tests/worker/stub_child.py"))


class WorkerHarness:
    """Starts workers, posts songs as the API does, and waits for what becomes of them."""

    def __init__(self, settings, queue, storage, tmp_path):
        self.settings, self.queue, self.storage, self.tmp_path = settings, queue, storage, tmp_path
        self.workers = []

    def worker(self, command=STUB, **changes):
        settings = replace(self.settings, **changes)
        process = SeparationProcess(stall_seconds=settings.stall_seconds, command=command)
        worker = build_supervisor(settings, build_queue(settings), build_storage(settings), process)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        self.workers.append((worker, thread))
        return worker

    def song(self, do="separate", **wish):
        songhash = str(uuid.uuid4())
        self.store(songhash, {"do": do, "name": songhash, **wish})
        self.queue.submit(songhash, {"model": self.settings.model})
        return songhash

    def store(self, songhash, wish):
        path = self.tmp_path / "wish"
        path.write_text(json.dumps(wish))
        self.storage.put_input(songhash, path)

    def until(self, songhash, *states, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.queue.get(songhash)
            if job and job.state in states:
                return job
            time.sleep(0.02)
        raise AssertionError(f"{songhash} is {job and job.state} after {seconds} s, not {states}")

    def running(self, songhash):
        self.until(songhash, "running")
        deadline = time.monotonic() + 10
        while self.queue.get(songhash).stage != "separating" and time.monotonic() < deadline:
            time.sleep(0.02)

    def another_worker(self):
        """As a live worker on another machine registers itself; it claims nothing here."""
        return Worker("elsewhere", (self.settings.model,))

    def ended(self, worker):
        """Waits until a worker that stops by itself has stopped."""
        (thread,) = (thread for one, thread in self.workers if one is worker)
        thread.join(timeout=60)
        assert not thread.is_alive()

    def close(self):
        for worker, _ in self.workers:
            worker.stop()
        for _, thread in self.workers:
            thread.join(timeout=60)
