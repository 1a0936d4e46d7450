"""The queue's inputs and results as frozen records. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msaas.errors import Conflict, QueueFull, QuotaExceeded
from msaas.jobs import Job, State, parse_state


@dataclass(frozen=True)
class Admission:
    """The limits and charges for a new song: zeros and an empty account mean no limit."""

    max_waiting: int = 0
    account: str = ""
    max_open: int = 0  # of the account's open songs
    audio_seconds: int = 0  # as declared by the song
    audio_max_seconds: int = 0  # as its bytes allow
    audio_limit_seconds: int = 0

    @property
    def args(self) -> Sequence[str | int]:
        """Arguments for submit.lua."""
        audio = (self.audio_seconds, self.audio_max_seconds, self.audio_limit_seconds)
        return (self.max_waiting, self.account, self.max_open, *audio)


NO_LIMITS = Admission()
NO_CALLBACK = ("",) * 5


@dataclass(frozen=True)
class Submitted:
    """`new` is False if the song was already waiting, running or done."""

    new: bool
    state: State


@dataclass(frozen=True)
class Submission:
    """`fields`: the record of a new song. `callback`: a CallbackRequest's `args`."""

    songhash: str
    fields: Mapping[str, str]
    stems_missing: bool = False
    callback: Sequence[str] = NO_CALLBACK
    admission: Admission = NO_LIMITS

    @property
    def args(self) -> Sequence[str | int]:
        callback, admission = self.callback, self.admission.args
        return (self.songhash, int(self.stems_missing), *callback, *admission, *flat(self.fields))

    def accepted(self, answer: tuple[str, str]) -> Submitted:
        """Raises Conflict, QueueFull, QuotaExceeded."""
        outcome, state = answer
        if outcome == "full":
            waiting = f"too many callbacks wait for job {self.songhash} already (1000)"
            raise Conflict(f"{waiting}; post again once it has ended")
        if outcome == "heavy":
            raise QuotaExceeded.of_callbacks()
        if outcome == "crowded":
            raise QueueFull(f"{self.admission.max_waiting} songs wait already, the limit here; try again later")
        if outcome == "greedy":
            raise QuotaExceeded.of_songs(self.admission.max_open)
        if outcome in ("over", "reserved"):
            asked = (self.admission.audio_limit_seconds, self.admission.audio_seconds, int(state))
            raise QuotaExceeded.of_audio(*asked, reserved=outcome == "reserved")
        return Submitted(outcome == "queued", parse_state(state) or State.FAILED)


@dataclass(frozen=True)
class Claim:
    """A job claimed by a worker. Every later move carries the fence; with an old one it changes nothing."""

    songhash: str
    fence: str
    job: Job


@dataclass(frozen=True)
class Counts:
    waiting: int
    in_work: int
    dead: int


def flat(fields: Mapping[str, str]) -> Sequence[str]:
    """As a script takes a hash: each name, then its value."""
    return [text for pair in fields.items() for text in pair]
