"""Rows 17 to 19: a store that refuses, a scratch disk without room, records and lists that somebody damaged."""

from __future__ import annotations

import uuid

from msaas.maintenance import dead_letters
from msaas.queue import LEASES, PROCESSING, WAITING
from msaas.storage import OUTPUTS, WAVEFORMS
from tests.chaos.lab.lab import Lab, RowResult
from tests.chaos.lab.proxy import Proxy, s3_refusal
from tests.chaos.rows.storage import small_disk
from tests.chaos.scale import Scale

REFUSAL_SECONDS = 2


def store_that_keeps_refusing(lab: Lab, scale: Scale) -> RowResult:
    """The store answers 500 to whatever is put, as SeaweedFS does on a full disk, and takes it again later."""
    result = lab.row("17", "the store refuses for longer than it may")
    proxy = Proxy(lab.weed.address)
    lab.environ |= {"MINIO_HOST": proxy.address, "MSAAS_STORAGE_REFUSAL_SECONDS": str(REFUSAL_SECONDS)}
    worker = lab.worker()
    lab.await_up(worker)
    stated: list[str] = []
    for _ in range(scale(1, 5)):
        with proxy.refusing(s3_refusal("500 Internal Server Error", "InternalError")):
            songs = lab.songs(scale(4, 20))
            lab.until_state(songs[0], "failed", seconds=60)
            result.claim(lab.job(songs[0]).error["code"] == "storage_refused", "no reason is stated")  # type: ignore[index]
            waits = [lab.job(song) for song in songs[1:]]
            result.claim(all(job.attempts == 0 for job in waits), "an attempt of a song that waited was burnt")
            told = lab.queue.workers().reasons
            result.claim(any("refuses" in trouble for trouble in told), f"the workers say {told}")
        dead_letters.replay(lab.queue, lab.storage, songs[0])
        stated.append(songs[0])
        result.claim(lab.until_ended(songs, 60), "songs are left that never ended")
    proxy.close()
    result.injected = proxy.struck
    lab.close_account(result)
    result.claim(result.account.done == len(lab.wishes), "not every song was published")
    result.notes.append(f"{len(stated)} stated and replayed, none of those behind them charged")
    return result


def no_room_on_the_scratch_disk(lab: Lab, scale: Scale) -> RowResult:
    """A scratch disk that is full of something else: nothing is claimed, nothing charged, until there is room."""
    result = lab.row("18", "no room on the scratch disk")
    with small_disk(lab.folder / "disk") as disk:
        least = "500000" if disk else str(10**13)
        scratch = {"MSAAS_SCRATCH_DIR": str(disk)} if disk else {}
        result.notes.append(
            "scratch: " + ("a tmpfs of 1 MB, filled" if disk else "none is large enough (no mount here)")
        )
        if disk:
            (disk / "filler").write_bytes(bytes(900_000))
        full = lab.worker(MSAAS_SCRATCH_FREE_BYTES=least, **scratch)
        songs = lab.songs(scale(4, 40))
        lab.until(lambda: bool(lab.queue.workers().reasons), 40, "the worker says nothing of its disk")
        result.claim(not lab.ledger().count("claimed"), "a worker without room claimed a song")
        result.injected = 1
        if disk:
            (disk / "filler").unlink()
        else:
            lab.stop(full)
            lab.worker()
        result.claim(lab.until_ended(songs, 60), "songs are left that never ended")
        lab.close_account(result)
    result.claim(result.account.done == len(songs), "not every song was published")
    result.claim(max(lab.ledger().count("claimed").values()) == 1, "an attempt was burnt")
    return result


def records_damaged_by_hand(lab: Lab, scale: Scale) -> RowResult:
    """Nonsense in records and lists, lists and buckets deleted: each song ends in stems or in a stated reason."""
    result = lab.row("19", "records, lists and buckets damaged by hand")
    worker = lab.worker()
    lab.await_up(worker)
    redis, damaged = lab.queue.redis, list[str]()
    for bucket in (OUTPUTS, WAVEFORMS):
        lab.storage.client.remove_bucket(bucket)
    for _ in range(scale(1, 5)):
        lab.stop(worker)
        songs = lab.songs(scale(8, 20))
        lab.by_hand |= set(songs)
        damaged.append(_damage(redis, songs))
        redis.delete(WAITING)
        lab.queue.repair()
        worker = lab.worker()
        result.claim(lab.until_ended(songs, 60), "songs are left that never ended")
        result.claim(lab.job(songs[0]).state == "failed", "options that cannot be read were taken for the defaults")
        done = [song for song in songs[1:] if lab.job(song).state == "done"]
        result.claim(done == songs[1:], "a song was not published")
        result.claim(not redis.llen(PROCESSING) and not redis.zcard(LEASES), "entries are left in work")
        result.injected += len(songs)
    result.claim(worker.alive, "the worker did not live through it")
    lab.close_account(result)
    result.claim(result.account.dead == len(damaged), "not each damaged song has a reason")
    return result


def _damage(redis: object, songs: list[str]) -> str:
    """Of the first song what it was asked for; of the others what no run needs."""
    names = ("created_ms", "attempts", "progress", "started_ms", "upload", "fence", "error")
    redis.hset(f"job:{songs[0]}", "options", "no JSON")  # type: ignore[attr-defined]
    for song, name in zip(songs[1:], names * len(songs), strict=False):
        redis.hset(f"job:{song}", name, b"\xffabc")  # type: ignore[attr-defined]
    redis.execute_command("RPUSH", WAITING, b"\xff\xfe", "", str(uuid.uuid4()).upper()[:-1])  # type: ignore[attr-defined]
    redis.set("toWorkers:fence", "nonsense")  # type: ignore[attr-defined]
    return songs[0]
