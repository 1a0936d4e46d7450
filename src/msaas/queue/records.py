"""What the queue is given and what it answers: frozen records. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msaas.jobs import Job, State


@dataclass(frozen=True)
class Admission:
    """On what terms a new song is let in: zeros and an empty account set no bound."""

    most_waiting: int = 0
    account: str = ""
    most_open: int = 0  # of the account's songs that have not ended
    audio_seconds: int = 0  # as the song says
    audio_most_seconds: int = 0  # as its bytes can hold
    audio_limit_seconds: int = 0

    @property
    def args(self) -> Sequence[str | int]:
        """As submit.lua takes them."""
        audio = (self.audio_seconds, self.audio_most_seconds, self.audio_limit_seconds)
        return (self.most_waiting, self.account, self.most_open, *audio)


ANYHOW = Admission()


@dataclass(frozen=True)
class Submitted:
    """`new` is false where the song was known already, waiting, in work or done."""

    new: bool
    state: State


@dataclass(frozen=True)
class Claim:
    """A job in a worker's hands. Every later move shows the fence; with an old one it changes nothing."""

    songhash: str
    fence: str
    job: Job


@dataclass(frozen=True)
class Counts:
    waiting: int
    in_work: int
    dead: int
