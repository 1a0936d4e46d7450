"""Row 16: any sequence of API calls, with workers' moves between them, agrees with a model kept in plain Python."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from msaas.jobs import songhash
from msaas.options import Options
from msaas.queue import LEASES, Claim
from msaas.wiring.api import build_app
from tests.chaos.lab.lab import MODEL, Lab, RowResult
from tests.chaos.processes.web_main import stub_probe
from tests.chaos.scale import Scale

SONGS = tuple(f"song {n}".encode() for n in range(4))
STEMS = ("drums", "bass", "other", "vocals")
MAX_ATTEMPTS = 3


@dataclass
class ModelJob:
    state: str = "queued"
    attempts: int = 0
    stems: set[str] = field(default_factory=set)


class Machine(RuleBasedStateMachine):
    """The model: `jobs`, the waiting list in order, the dead in order, what each bucket holds."""

    lab: Lab
    steps = 0
    posts = 0

    def __init__(self) -> None:
        super().__init__()
        self.queue, self.storage = self.lab.queue, self.lab.shared_storage
        self.queue.redis.flushall()
        self.storage.empty()
        self.client = build_app(
            self.lab.settings, queue=self.queue, storage=self.storage, probe=stub_probe
        ).test_client()
        self.jobs: dict[str, ModelJob] = {}
        self.waiting: list[str] = []
        self.dead: list[str] = []
        self.inputs: set[str] = set()
        self.claims: list[Claim] = []

    def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        type(self).steps += 1
        answer = self.client.open(path, method=method, **more)
        return answer.status_code, answer.get_json(silent=True) if answer.is_json else answer.data

    def holds(self, claim: Claim) -> bool:
        """Whether the claim is the latest of a job in work."""
        job = self.jobs[claim.songhash]
        return job.state == "running" and [c for c in self.claims if c.songhash == claim.songhash][-1] is claim

    # --- clients

    @initialize()
    def first_songs(self) -> None:
        for song in SONGS[:3]:
            self._post(song)

    @rule(song=st.sampled_from(SONGS))
    def post(self, song: bytes) -> None:
        self._post(song)

    def _post(self, song: bytes) -> None:
        type(self).posts += 1
        name = name_of(song)
        job = self.jobs.get(name)
        new = job is None or job.state in ("failed", "cancelled") or (job.state == "done" and job.stems != set(STEMS))
        status, answer = self.call("POST", "/apiv1/separate", data=song, headers={"Content-Type": "audio/mpeg"})
        assert (status, answer["songhash"]) == (202 if new else 200, name), (status, answer, job)
        if not (job and job.state == "done" and not new):
            self.inputs.add(name)
        if new:
            self.dead = [other for other in self.dead if other != name]
            self.jobs[name] = ModelJob(stems=job.stems if job else set())
            self.waiting.append(name)
        assert answer["state"] == self.jobs[name].state

    @rule(song=st.sampled_from(SONGS), option=st.sampled_from(["format=ogg", "stems=1/2", "model=x", "colour=red"]))
    def post_invalid(self, song: bytes, option: str) -> None:
        headers = {"Content-Type": "audio/mpeg"}
        status, answer = self.call("POST", f"/apiv1/separate?{option}", data=song, headers=headers)
        assert (status, answer["code"]) == (422, "invalid_option")

    @rule(song=st.sampled_from(SONGS))
    def look(self, song: bytes) -> None:
        name = name_of(song)
        status, answer = self.call("GET", f"/apiv1/jobs/{name}")
        if name not in self.jobs:
            assert (status, answer["code"]) == (404, "job_unknown")
            return
        job = self.jobs[name]
        position = self.waiting.index(name) if job.state == "queued" else None
        seen = (answer["state"], answer["attempts"], answer["queue_position"])
        assert seen == (job.state, job.attempts, position), (answer, job)
        assert bool(answer["error"]) == (job.state == "failed")

    @rule(song=st.sampled_from(SONGS))
    def cancel(self, song: bytes) -> None:
        name = name_of(song)
        status, _ = self.call("DELETE", f"/apiv1/jobs/{name}")
        job = self.jobs.get(name)
        if job is None:
            assert status == 404
            return
        assert status == (409 if job.state == "done" else 200)
        if job.state in ("queued", "running"):
            self.waiting = [other for other in self.waiting if other != name]
            job.state, job.stems = "cancelled", set()

    @rule(song=st.sampled_from(SONGS), stem=st.sampled_from([*STEMS, "kazoo"]))
    def download(self, song: bytes, stem: str) -> None:
        name = name_of(song)
        status, answer = self.call("GET", f"/apiv1/track/{name}-{stem}")
        job = self.jobs.get(name)
        if job is not None and job.state == "done" and stem in job.stems:
            assert (status, answer) == (200, stem_of(name, stem))
            return
        codes = {"done": "track_removed" if stem in STEMS else "stem_unknown"}
        wanted = "job_unknown" if job is None else codes.get(job.state, "job_not_done")
        assert (status, answer["code"]) == (404, wanted), (answer, job)

    @rule(song=st.sampled_from(SONGS), stem=st.sampled_from(STEMS))
    def remove(self, song: bytes, stem: str) -> None:
        name = name_of(song)
        job = self.jobs.get(name, ModelJob())
        status, _ = self.call("DELETE", f"/apiv1/remove/{name}-{stem}")
        assert status == (200 if stem in job.stems else 404)
        job.stems.discard(stem)

    @precondition(lambda self: len(self.jobs) > 2)  # it ends much else: not too soon
    @rule()
    def delete_contents(self) -> None:
        status, answer = self.call("GET", "/apiv1/delete_contents")
        there = len(self.inputs) + sum(len(job.stems) for job in self.jobs.values())
        assert (status, answer["deleted"]) == (200, there)
        self.inputs.clear()
        for job in self.jobs.values():
            job.stems.clear()

    @rule()
    def list_buckets(self) -> None:
        _, answer = self.call("GET", "/apiv1/bucket")
        stems = {f"{name}-{stem}.mp3" for name, job in self.jobs.items() for stem in job.stems}
        assert set(answer["input-tracks"]) == {f"{name}.mp3" for name in self.inputs}
        assert set(answer["output-tracks"]) == stems

    # --- workers

    @rule()
    def claim(self) -> None:
        claim = self.queue.claim("host-0-model")
        assert (claim.songhash if claim else None) == (self.waiting[0] if self.waiting else None)
        if claim is not None:
            self.waiting.pop(0)
            self.claims.append(claim)
            job = self.jobs[claim.songhash]
            job.state, job.attempts = "running", job.attempts + 1
            assert claim.job.attempts == job.attempts

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        held = self.holds(claim)
        if held:
            self._put_stems(claim.songhash)
        assert self.queue.finish(claim, {"stems": dict.fromkeys(STEMS, "mp3")}, 2.0) == held
        if held:
            self.jobs[claim.songhash].state = "done"

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), retry=st.booleans())
    def fail(self, data: st.DataObject, retry: bool) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        held, job = self.holds(claim), self.jobs[claim.songhash]
        again = retry and job.attempts < MAX_ATTEMPTS
        outcome = self.queue.fail(claim, {"code": "boom", "detail": "as the model wished"}, retry=retry)
        assert outcome == (("queued" if again else "failed") if held else "")
        if held:
            self._requeue_or_give_up(claim.songhash, again, at=len(self.waiting))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        held = self.holds(claim)
        assert self.queue.release(claim) == held
        if held:
            self.jobs[claim.songhash].attempts -= 1
            self._requeue_or_give_up(claim.songhash, True, at=0)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def lose_worker(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        held, job = self.holds(claim), self.jobs[claim.songhash]
        if held:
            self.queue.redis.zadd(LEASES, {claim.songhash: 1})
        again = job.attempts < MAX_ATTEMPTS
        assert self.queue.reap() == ({claim.songhash: "queued" if again else "failed"} if held else {})
        if held:
            self._requeue_or_give_up(claim.songhash, again, at=0)

    def _requeue_or_give_up(self, name: str, again: bool, at: int) -> None:
        self.jobs[name].state = "queued" if again else "failed"
        if again:
            self.waiting.insert(at, name)
        else:
            self.dead.append(name)

    def _put_stems(self, name: str) -> None:
        path = Path(self.lab.folder / "stem")
        for stem in STEMS:
            path.write_bytes(stem_of(name, stem))
            self.storage.put_stem(f"{name}-{stem}.mp3", path)
        self.jobs[name].stems = set(STEMS)

    # --- always

    @invariant()
    def the_lists_agree(self) -> None:
        status, answer = self.call("GET", "/apiv1/queue")
        running = {name for name, job in self.jobs.items() if job.state == "running"}
        assert status == 200
        assert (answer["queue"], set(answer["in_work"])) == (self.waiting, running)
        assert answer["dead"] == self.dead[::-1]


def name_of(song: bytes) -> str:
    options = Options.parse({}, default_model=MODEL, allowed=(MODEL,))
    return songhash(hashlib.sha256(song).hexdigest(), options)


def stem_of(name: str, stem: str) -> bytes:
    return f"{stem} of {name}".encode()


def any_sequence_of_calls(lab: Lab, scale: Scale) -> RowResult:
    """Any sequence of API calls and workers' moves, against a model."""
    result = lab.row("16", "any sequence of API calls")
    machine: type[Machine] = seed(lab.seed)(type("SeededMachine", (Machine,), {"lab": lab}))
    wanted = settings(
        max_examples=scale(25, 120),
        stateful_step_count=scale(30, 50),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    try:
        run_state_machine_as_test(machine, settings=wanted)
    except Exception as error:
        result.wrong.append(f"the model disagrees: {error} {' '.join(getattr(error, '__notes__', []))}")
    lab.close_account(result)
    result.injected, result.jobs = machine.steps, machine.posts
    result.notes.append(f"{machine.steps} calls")
    return result
