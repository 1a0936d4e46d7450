"""The queue's inputs and results as frozen records. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msaas.jobs import Job, State


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


@dataclass(frozen=True)
class Submitted:
    """`new` is False if the song was already waiting, running or done."""

    new: bool
    state: State


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
