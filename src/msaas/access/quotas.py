"""How much a caller may ask for: posts and other calls a minute, minutes of audio a day. Counted in Redis, exactly.

Both are sliding windows: a minute of 60 slices of a second, 24 hours of 96 quarters of an hour. One script looks and
takes, so that fifty requests at once, on any number of pods, get no more than there is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from math import ceil
from typing import Any

from msaas.errors import QuotaExceeded
from msaas.queue import ANYHOW, Admission
from msaas.queue.connection import redis_errors

POSTS, CALLS, AUDIO = "posts", "calls", "audio-seconds"
MINUTE_SLICES, SLICE_MS = 60, 1000
MINUTE_SECONDS, DAY_SECONDS = 60, 86_400
GUESSED_BYTES_A_SECOND = 16_000  # 128 kb/s
# Ten times what an honest song takes: it pays for its post alone, one that takes two seconds for eight more.
CPU_SECONDS_A_POST = 0.25
# A post is followed by questions: the page asks for progress, outlines and stems, clients poll once a second.
CALLS_A_POST, FEWEST_CALLS = 60, 600


@dataclass(frozen=True)
class Standing:
    """How an account stands with one limit. `policy` names it in the RateLimit headers. `refusal`: it is used up."""

    policy: str
    limit: int
    left: int
    reset_seconds: int
    window_seconds: int
    refusal: QuotaExceeded | None = None


class Quotas:
    """`account` is whom to count for. A limit of 0 is none. Raises QueueUnavailable where Redis is away."""

    def __init__(self, redis: Any, *, posts_a_minute: int, audio_minutes: float, most_waiting: int = 0) -> None:
        self.posts_a_minute = posts_a_minute
        self.audio_limit_seconds = ceil(audio_minutes * 60)
        self.most_waiting = most_waiting
        names = ("take", "charge", "room")
        self._take, self._charge, self._room = (redis.register_script(_source(name)) for name in names)

    def take(self, account: str, what: str) -> Standing | None:
        """Counts a call, but for one that is refused. None where there is no limit."""
        if not self.posts_a_minute:
            return None
        limit = self.posts_a_minute if what == POSTS else max(FEWEST_CALLS, self.posts_a_minute * CALLS_A_POST)
        with redis_errors():
            allowed, left, wait = self._take(keys=[f"quota:{account}:{what}"], args=[limit, MINUTE_SLICES, SLICE_MS])
        message = f"{limit} {what} a minute are the limit here; try again in {wait} s"
        refusal = None if allowed else QuotaExceeded(message, "rate_limited", wait)
        return Standing(what, limit, left, wait, MINUTE_SECONDS, refusal)

    def charge_computing(self, account: str, cpu_seconds: float) -> None:
        """What looking at a post's song took, as further posts: past the limit too, so that the next ones wait."""
        posts = int(cpu_seconds / CPU_SECONDS_A_POST)
        if self.posts_a_minute and posts:
            with redis_errors():
                self._charge(keys=[f"quota:{account}:{POSTS}"], args=[posts, MINUTE_SLICES, SLICE_MS])

    def audio_room(self, account: str, seconds: int) -> Standing | None:
        """Is there room for so much audio? Charges nothing: submitting does. None where there is no limit."""
        if not self.audio_limit_seconds:
            return None
        with redis_errors():
            wait, left = self._room(args=[account, seconds, self.audio_limit_seconds])
        refusal = QuotaExceeded.of_audio(self.audio_limit_seconds, seconds, wait) if wait else None
        left_then = left if refusal else max(0, left - seconds)
        return Standing(AUDIO, self.audio_limit_seconds, left_then, wait or DAY_SECONDS, DAY_SECONDS, refusal)

    def admission(self, account: str, seconds: int) -> Admission:
        """The terms of a new song: submit charges what they say, in the step that queues it."""
        if not self.audio_limit_seconds:
            return Admission(self.most_waiting) if self.most_waiting else ANYHOW
        return Admission(self.most_waiting, account, seconds, self.audio_limit_seconds)


def seconds_to_charge(about: Mapping[str, Any], longest_seconds: float) -> int:
    """Of a song as its upload was looked at: what it declares, or a guess from its size where that cannot be.

    Either is put right once the song is decoded. A recorder that was cut off leaves a length that nobody believes.
    """
    declared: float | None = about["duration_seconds"]
    if declared and declared <= longest_seconds:
        return ceil(declared)
    size, is_pcm = float(about["bytes"]), about["codec"].startswith("pcm_")
    bytes_a_second: int = about["sample_rate"] * about["channels"] * 2 if is_pcm else GUESSED_BYTES_A_SECOND
    return ceil(min(size / max(bytes_a_second, 1), longest_seconds))


def address_account(address: str) -> str:
    """Without keys. An IPv6 caller has a whole /64 to choose addresses from: it is one caller."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "address unknown"
    if found.version == 4:
        return f"address {found}"
    mapped = found.ipv4_mapped
    return f"address {mapped or ipaddress.ip_network((found, 64), strict=False)}"


def _source(name: str) -> str:
    folder = resources.files("msaas.queue") / "lua"
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in ("types", "quota", name))


def rate_headers(standings: Sequence[Standing]) -> dict[str, str]:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), and the older X-RateLimit ones.

    Those have room for one limit: the last that was looked at, which is the one that refused, where one did.
    X-RateLimit-Reset counts seconds from now, as Retry-After does.
    """
    if not standings:
        return {}
    last = standings[-1]
    return {
        "RateLimit-Policy": ", ".join(f'"{one.policy}";q={one.limit};w={one.window_seconds}' for one in standings),
        "RateLimit": ", ".join(f'"{one.policy}";r={one.left};t={one.reset_seconds}' for one in standings),
        "X-RateLimit-Limit": str(last.limit),
        "X-RateLimit-Remaining": str(last.left),
        "X-RateLimit-Reset": str(last.reset_seconds),
    }
