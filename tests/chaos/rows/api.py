"""Rows 6, 12 and 13: a Redis that misbehaves, a crowd with one song, an API killed between its two writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from msaas.maintenance.housekeeping import Housekeeper
from tests.chaos.lab.api import Api, name_of
from tests.chaos.lab.lab import Lab, RowResult
from tests.chaos.lab.proxy import Proxy, half_reply, reset
from tests.chaos.scale import Scale

CROWD = 50


def redis_that_hangs_and_resets(lab: Lab, scale: Scale) -> RowResult:
    """Redis hangs, resets and answers half a reply, for API and workers alike."""
    result = lab.row("6", "Redis hangs, resets, answers half a reply")
    proxy = Proxy(lab.valkey.address)
    lab.environ |= {"REDIS_HOST": proxy.address, "MSAAS_LEASE_SECONDS": "5", "MSAAS_MAX_ATTEMPTS": "50"}
    workers = [lab.worker() for _ in range(2)]
    api = Api(lab)
    lab.await_up(*workers)
    bodies = [api.song(seconds=0.1) for _ in range(scale(40, 400))]
    with ThreadPoolExecutor(4) as crowd:
        posting = [crowd.submit(_post_slowly, api, body) for body in bodies]
        watching = crowd.submit(_watch, api, [name_of(body) for body in bodies])
        for _ in range(scale(1, 4)):
            _misbehave(lab, proxy, scale)
        [post.result(60) for post in posting]
        ended = lab.until_ended(lab.wishes, scale(60, 180))
        api.stopped.set()
        watching.result(30)
    result.claim(ended, "songs are left that never ended")
    proxy.close()
    result.injected = proxy.struck
    lab.close_account(result)
    result.claim(result.account.done == len(bodies), "not every song was published")
    bad = {status: count for status, count in api.statuses.items() if status >= 500 and status != 503}
    result.claim(not bad, f"the API answered {bad}")
    result.claim(all(worker.alive for worker in workers), "a worker did not live through it")
    result.notes.append(f"{sum(api.statuses.values())} calls, {api.statuses[503]} answered 503, none 500")
    return result


def _post_slowly(api: Api, body: bytes) -> None:
    api.post(body)
    time.sleep(0.1)


def _misbehave(lab: Lab, proxy: Proxy, scale: Scale) -> None:
    with proxy.hanging():
        time.sleep(scale(4, 7))  # past the API's time-out
    for _ in range(5):
        time.sleep(lab.random.uniform(0.05, 0.3))
        proxy.reset_all()
    for fault in (half_reply, reset):
        with proxy.doing(fault):
            time.sleep(scale(0.7, 1.5))
        time.sleep(0.3)


def _watch(api: Api, names: list[str]) -> None:
    """What a page would ask for, all the while."""
    while not api.stopped.wait(0.05):
        name = names[int(time.time() * 1000) % len(names)]
        for path in (f"/apiv1/jobs/{name}", "/apiv1/queue", f"/apiv1/track/{name}-vocals", "/readyz"):
            api.call("GET", path)


def one_song_posted_at_once(lab: Lab, scale: Scale) -> RowResult:
    """Fifty clients post the same song at once: while it is new, in work, and done."""
    result = lab.row("12", f"the same song posted {CROWD} times at once")
    api = Api(lab)
    for _ in range(scale(1, 5)):
        body = api.song(seconds=1.5)
        name = name_of(body)
        answers = _all_at_once(lambda body=body: api.post_once(body))  # type: ignore[misc]
        result.claim({status for status, _ in answers} <= {200, 202}, f"some were refused: {api.statuses}")
        result.claim(sum(status == 202 for status, _ in answers) == 1, "not exactly one was told that the job is new")
        result.claim({answer["songhash"] for _, answer in answers} == {name}, "they have different names")
        result.claim(lab.queue.waiting() == [name], "it does not wait exactly once")
        worker = lab.worker()
        lab.until_stage(name, "separating")
        _all_at_once(lambda body=body: api.post_once(body))  # type: ignore[misc]
        lab.until_state(name, "done")
        late = _all_at_once(lambda body=body: api.post_once(body))  # type: ignore[misc]
        result.claim({status for status, _ in late} == {200}, "a done song was queued again")
        runs = lab.ledger().count("claimed")[name]
        result.claim(runs == 1, f"it ran {runs} times")
        lab.stop(worker)
    result.injected = sum(api.statuses.values())
    return lab.close_account(result)


def _all_at_once(call: Callable[[], tuple[int, dict[str, str]]]) -> list[tuple[int, dict[str, str]]]:
    start = threading.Barrier(CROWD)

    def wait_and_call() -> tuple[int, dict[str, str]]:
        start.wait()
        return call()

    with ThreadPoolExecutor(CROWD) as crowd:
        return [future.result() for future in [crowd.submit(wait_and_call) for _ in range(CROWD)]]


def api_killed_before_queueing(lab: Lab, scale: Scale) -> RowResult:
    """The API is killed after it stored the song and before it queued it."""
    result = lab.row("13", "API killed between storing and queueing")
    for retried in [True, False] * scale(1, 5):
        api = Api(lab, CHAOS_PLAN="before-submit=kill")
        body = api.song(seconds=0.05)
        name = name_of(body)
        status, _ = api.post_once(body)
        result.claim(status == 0, f"the killed API answered {status}")
        result.claim(lab.storage.has_input(name), "the song was not stored before it was queued")
        result.claim(lab.queue.get(name) is None, "the song was queued")
        if retried:
            api.start_again()
            api.post(body)
        api.process.kill()
    orphans = [name for name in lab.wishes if name not in lab.accepted]
    worker = lab.worker()
    result.claim(lab.until_ended(lab.accepted, 40), "songs are left that never ended")
    _sweep_orphans(lab, result, orphans)
    lab.stop(worker)
    lab.kills.clear()  # of the API: there is no run to recover
    result.injected = len(lab.wishes)
    lab.close_account(result)
    result.claim(result.account.done == len(lab.accepted), "a retried song was not published")
    result.notes.append(f"{len(orphans)} orphans swept")
    return result


def _sweep_orphans(lab: Lab, result: RowResult, orphans: list[str]) -> None:
    """Kept for a day, for whoever still retries; then swept, and nothing else with them."""
    for hours, kept in ((23, True), (25, False)):
        lab.queue.redis.delete("housekeeping:sweep", *(f"held:{name}" for name in orphans))  # over by then
        now = datetime.now(UTC) + timedelta(hours=hours)
        Housekeeper(lab.queue, lab.storage, now=lambda now=now: now).sweep()  # type: ignore[misc]
        stored = [lab.storage.has_input(name) for name in orphans]
        result.claim(stored == [kept] * len(orphans), f"after {hours} hours orphans are kept: {stored}")
    result.claim(all(lab.storage.has_input(name) for name in lab.accepted), "a job's own song was swept")
