"""Rows 7 and 15: the object store away, slow, cutting off or full; the worker's own disk full."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from msaas.maintenance import dead_letters
from tests.chaos.lab.api import Api, name_of
from tests.chaos.lab.lab import Lab, RowResult
from tests.chaos.lab.proxy import Fault, Proxy, cut_get, cut_put, reset, s3_refusal, slow
from tests.chaos.scale import Scale
from tests.worker.stub_child import STEMS, stem_bytes

# How servers say that they have no room: AWS-like, MinIO, SeaweedFS and Ceph.
REFUSALS = (
    ("403 Forbidden", "QuotaExceeded"),
    ("507 Insufficient Storage", "XMinioStorageFull"),
    ("400 Bad Request", "XMinioAdminBucketQuotaExceeded"),
)


class Reader(threading.Thread):
    """Asks the API for stems of any song at any time. What arrives whole must have the right bytes."""

    def __init__(self, api: Api, names: list[str]) -> None:
        super().__init__(daemon=True)
        self.api, self.names, self.random = api, names, random.Random(api.lab.seed)
        self.whole, self.torn = 0, list[str]()

    def run(self) -> None:
        while not self.api.stopped.wait(0.02):
            name, stem = self.random.choice(self.names), self.random.choice(STEMS)
            status, body = self.api.call("GET", f"/apiv1/track/{name}-{stem}")
            if status != 200:
                continue
            self.whole += 1
            if body != stem_bytes(stem, self.api.lab.wishes[name]):
                self.torn.append(f"{name}-{stem}: {len(body)} bytes")


def failing_object_store(lab: Lab, scale: Scale) -> RowResult:
    """The object store refuses connections, crawls, hangs, and breaks off in mid-PUT and mid-GET."""
    result = lab.row("7", "S3 down, slow, hanging, cut in mid-transfer")
    proxy = Proxy(lab.weed.address)
    lab.environ |= {"MINIO_HOST": proxy.address, "MSAAS_LEASE_SECONDS": "5"}
    workers = [lab.worker() for _ in range(2)]
    api = Api(lab)
    lab.await_up(*workers)
    bodies = [api.song(seconds=0.05, kilobytes=300) for _ in range(scale(20, 200))]
    reader = Reader(api, [name_of(body) for body in bodies])
    reader.start()
    with ThreadPoolExecutor(2) as crowd:
        posting = [crowd.submit(api.post, body) for body in bodies]
        for _ in range(scale(1, 4)):
            _fail_in_turn(proxy, scale)
        [post.result(120) for post in posting]
    result.claim(lab.until_ended(lab.wishes, scale(60, 240)), "songs are left that never ended")
    lab.until(lambda: reader.whole >= scale(20, 200), 60, "downloads enough to compare")
    api.stopped.set()
    reader.join(30)
    proxy.close()
    result.injected = proxy.struck
    lab.close_account(result)
    result.claim(result.account.done == len(bodies), "not every song was published")
    result.claim(not reader.torn, f"partial stems were served: {reader.torn[:3]}")
    result.claim(max(lab.ledger().count("claimed").values()) == 1, "an outage was charged to a job")
    bad = {status: count for status, count in api.statuses.items() if status >= 500 and status != 503}
    result.claim(not bad, f"the API answered {bad}")
    result.notes.append(f"{reader.whole} whole downloads compared, {api.statuses[503]} calls answered 503, none 500")
    return result


def _fail_in_turn(proxy: Proxy, scale: Scale) -> None:
    faults: list[Fault] = [cut_put(20_000), reset, slow(1_000_000), cut_get(20_000)]
    for fault in faults:
        with proxy.doing(fault):
            time.sleep(scale(1.0, 2.0))
        time.sleep(0.3)
    with proxy.hanging():
        time.sleep(scale(1, 6))


def full_disk_and_full_store(lab: Lab, scale: Scale) -> RowResult:
    """No room: on the worker's scratch disk, and in the object store."""
    result = lab.row("15", "scratch disk full, S3 quota reached")
    proxy = Proxy(lab.weed.address)
    lab.environ |= {"MINIO_HOST": proxy.address, "MSAAS_MAX_ATTEMPTS": scale("2", "3")}
    with small_disk(lab.folder / "disk") as disk:
        plan = "" if disk else ",".join(["after-fetch=full"] * 2 * scale(2, 3) + ["-"])
        worker = lab.worker(plan, **({"MSAAS_SCRATCH_DIR": str(disk)} if disk else {}))
        result.notes.append("scratch: " + ("a tmpfs of 1 MB" if disk else "ENOSPC injected (no mount here)"))
        _fill_disk(lab, result)
        refused = [_refuse(lab, proxy, result, *refusal) for refusal in REFUSALS[: scale(1, 3)]]
        result.claim(worker.alive, "the worker did not live through it")
        dead_letters.replay(lab.queue, lab.storage, refused[0])  # somebody made room
        lab.until_state(refused[0], "done")
    proxy.close()
    result.injected = proxy.struck + 2 * scale(2, 3)
    lab.close_account(result)
    return result


def _fill_disk(lab: Lab, result: RowResult) -> None:
    """A song that is larger than the disk, then one whose stems are; a small one goes through."""
    songs = [*lab.songs(1, input_bytes=2_000_000), *lab.songs(1, kilobytes=600)]
    lab.until_ended(songs, 60)
    for song in songs:
        error = lab.job(song).error or {}
        result.claim(error.get("code") == "scratch_full", f"a full disk is stated as {error}")
    small = lab.songs(1)[0]
    lab.until_ended([small], 30)
    result.claim(lab.job(small).state == "done", "a song that fits did not go through")


def _refuse(lab: Lab, proxy: Proxy, result: RowResult, status: str, code: str) -> str:
    with proxy.refusing(s3_refusal(status, code)):
        song = lab.songs(1)[0]
        result.claim(lab.until_ended([song], 60), f"{code}: the job insists for ever")
    error = lab.job(song).error or {}
    result.claim(error.get("code") == "storage_full", f"{code} is stated as {error}")
    # the worker claims again only once it has seen that the store accepts objects: before that it would not meet the
    # next refusal
    result.claim(lab.until_ended(lab.songs(1), 60), f"after {code}: the worker does not go on")
    return song


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of 1 MB, or None where this process may not mount one."""
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", "-l", str(folder)], check=False, capture_output=True)
