"""Quotas per caller: posts and other calls per minute, minutes of audio per day. Counted exactly, in Redis.

Both are sliding windows: a minute of 60 slices of a second, 24 hours of 96 slices of 15 minutes. One script checks and
charges, so that fifty concurrent requests, on any number of pods, cannot exceed the limit.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from msaas.errors import QuotaExceeded
from msaas.queue import Admission, scripts
from msaas.queue.audio_length import AudioLength
from msaas.redis_client import redis_errors

POSTS, CALLS, AUDIO = "posts", "calls", "audio-seconds"
MINUTE_SLICES, SLICE_MS = 60, 1000
MINUTE_SECONDS, DAY_SECONDS = 60, 86_400
# Ten times what an honest song takes: it costs its post only; one that takes two seconds costs eight more.
CPU_SECONDS_PER_POST = 0.25
# A post is followed by other calls: the page requests progress, waveforms and stems, clients poll once a second.
CALLS_PER_POST, MIN_CALLS = 60, 600


@dataclass(frozen=True)
class LimitState:
    """An account's state with respect to one limit. `policy` is its name in RateLimit headers; `refusal` is set if the
    limit is reached."""

    policy: str
    limit: int
    left: int
    reset_seconds: int
    window_seconds: int
    refusal: QuotaExceeded | None = None


class Quotas:
    """`account` is the subject of the count. A limit of 0 means none. Raises QueueUnavailable if Redis is away."""

    def __init__(
        self, redis: Any, *, posts_per_minute: int, audio_minutes: float, max_waiting: int = 0, max_songs: int = 0
    ) -> None:
        self.posts_per_minute = posts_per_minute
        self.audio_limit_seconds = ceil(audio_minutes * 60)
        self.max_waiting, self.max_songs = max_waiting, max_songs
        names = ("take_place", "charge", "room")
        self._take, self._charge, self._room = (scripts.load(redis, f"quotas/{name}") for name in names)

    def take(self, account: str, what: str) -> LimitState | None:
        """Counts a call unless it is rejected. None if there is no limit."""
        if not self.posts_per_minute:
            return None
        limit = self.posts_per_minute if what == POSTS else max(MIN_CALLS, self.posts_per_minute * CALLS_PER_POST)
        with redis_errors():
            allowed, left, wait = self._take(keys=[f"quota:{account}:{what}"], args=[limit, MINUTE_SLICES, SLICE_MS])
        message = f"the limit is {limit} {what} a minute; retry in {wait} s"
        refusal = None if allowed else QuotaExceeded(message, "rate_limited", wait)
        return LimitState(what, limit, left, wait, MINUTE_SECONDS, refusal)

    def charge_computing(self, account: str, cpu_seconds: float) -> None:
        """Charges the processor time of a post's probe as further posts, even past the limit, so that later ones
        wait."""
        self.charge_posts(account, int(cpu_seconds / CPU_SECONDS_PER_POST))

    def charge_posts(self, account: str, posts: int) -> None:
        """Charges further posts, even past the limit, so that later ones wait."""
        if self.posts_per_minute and posts:
            with redis_errors():
                self._charge(keys=[f"quota:{account}:{POSTS}"], args=[posts, MINUTE_SLICES, SLICE_MS])

    def audio_room(self, account: str, audio: AudioLength) -> LimitState | None:
        """Checks whether one more song and its audio fit. Charges nothing: submitting does.

        None if audio has no limit. Raises QuotaExceeded if the account has too many open songs.
        """
        if not self.audio_limit_seconds and not self.max_songs:
            return None
        with redis_errors():
            limits = (self.audio_limit_seconds, self.max_songs)
            wait, left, reserved, fits = self._room(args=[account, audio.declared_seconds, *limits])
        if not fits:
            raise QuotaExceeded.of_songs(self.max_songs)
        if not self.audio_limit_seconds:
            return None
        asked = (self.audio_limit_seconds, audio.declared_seconds, wait)
        refusal = QuotaExceeded.of_audio(*asked, reserved=bool(reserved)) if wait else None
        left_then = left if refusal else max(0, left - max(audio.declared_seconds, audio.max_seconds))
        return LimitState(AUDIO, self.audio_limit_seconds, left_then, wait or DAY_SECONDS, DAY_SECONDS, refusal)

    def refuse_songs(self, account: str, songs: int) -> None:
        """Raises QuotaExceeded if the account may not have so many more open songs. Charges nothing."""
        if not self.max_songs:
            return
        most = self.max_songs - songs + 1  # one song fits if fewer are open
        with redis_errors():
            if most < 1 or not self._room(args=[account, 0, 0, most])[3]:
                raise QuotaExceeded.of_songs(self.max_songs)

    def admission(self, account: str, audio: AudioLength | None = None) -> Admission:
        """The charges of a new song, made by the script that queues it."""
        audio = audio or AudioLength(0, 0)
        seconds = (audio.declared_seconds, audio.max_seconds, self.audio_limit_seconds)
        return Admission(self.max_waiting, account, self.max_songs, *seconds)


def address_account(address: str) -> str:
    """The account without keys. An IPv6 caller owns a whole /64: it counts as one caller."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "address unknown"
    if found.version == 4:
        return f"address {found}"
    mapped = found.ipv4_mapped
    return f"address {mapped or ipaddress.ip_network((found, 64), strict=False)}"


def rate_headers(limit_states: Sequence[LimitState]) -> dict[str, str]:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10), and the older X-RateLimit headers.

    The latter have room for one limit: the last one checked, which is the one that rejected the request, if any.
    X-RateLimit-Reset counts seconds from now, as Retry-After does.
    """
    if not limit_states:
        return {}
    last = limit_states[-1]
    return {
        "RateLimit-Policy": ", ".join(f'"{one.policy}";q={one.limit};w={one.window_seconds}' for one in limit_states),
        "RateLimit": ", ".join(f'"{one.policy}";r={one.left};t={one.reset_seconds}' for one in limit_states),
        "X-RateLimit-Limit": str(last.limit),
        "X-RateLimit-Remaining": str(last.left),
        "X-RateLimit-Reset": str(last.reset_seconds),
    }
