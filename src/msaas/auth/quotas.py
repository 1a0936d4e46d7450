"""How much a caller may ask for: posts and other calls a minute, minutes of audio a day. Counted in Redis, exactly.

Both are sliding windows: a minute of 60 slices of a second, 24 hours of 96 quarters of an hour. One script looks and
takes, so that fifty requests at once, on any number of pods, get no more than there is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from msaas.errors import QuotaExceeded
from msaas.queue import Admission, scripts
from msaas.redis_client import redis_errors

POSTS, CALLS, AUDIO = "posts", "calls", "audio-seconds"
MINUTE_SLICES, SLICE_MS = 60, 1000
MINUTE_SECONDS, DAY_SECONDS = 60, 86_400
GUESSED_BYTES_A_SECOND = 16_000  # 128 kb/s
# Fewer bytes a second no stream of the codec has, by its lowest bit rate: 8 kb/s (of AC-3 by halved rates). Of a codec
# that is not here a second may take next to nothing: silence in AAC, Opus, Vorbis or FLAC does.
FEWEST_BYTES_A_SECOND = {"mp1": 1000, "mp2": 1000, "mp3": 1000, "ac3": 1000}
# Ten times what an honest song takes: it pays for its post alone, one that takes two seconds for eight more.
CPU_SECONDS_A_POST = 0.25
# A post is followed by questions: the page asks for progress, outlines and stems, clients poll once a second.
CALLS_A_POST, FEWEST_CALLS = 60, 600


@dataclass(frozen=True)
class LimitState:
    """How an account stands with one limit. `policy` names it in the RateLimit headers. `refusal`: it is used up."""

    policy: str
    limit: int
    left: int
    reset_seconds: int
    window_seconds: int
    refusal: QuotaExceeded | None = None


class Quotas:
    """`account` is whom to count for. A limit of 0 is none. Raises QueueUnavailable where Redis is away."""

    def __init__(
        self, redis: Any, *, posts_a_minute: int, audio_minutes: float, most_waiting: int = 0, most_songs: int = 0
    ) -> None:
        self.posts_a_minute = posts_a_minute
        self.audio_limit_seconds = ceil(audio_minutes * 60)
        self.most_waiting, self.most_songs = most_waiting, most_songs
        names = ("take_place", "charge", "room")
        self._take, self._charge, self._room = (scripts.load(redis, f"quotas/{name}") for name in names)

    def take(self, account: str, what: str) -> LimitState | None:
        """Counts a call, but for one that is refused. None where there is no limit."""
        if not self.posts_a_minute:
            return None
        limit = self.posts_a_minute if what == POSTS else max(FEWEST_CALLS, self.posts_a_minute * CALLS_A_POST)
        with redis_errors():
            allowed, left, wait = self._take(keys=[f"quota:{account}:{what}"], args=[limit, MINUTE_SLICES, SLICE_MS])
        message = f"the limit is {limit} {what} a minute; retry in {wait} s"
        refusal = None if allowed else QuotaExceeded(message, "rate_limited", wait)
        return LimitState(what, limit, left, wait, MINUTE_SECONDS, refusal)

    def charge_computing(self, account: str, cpu_seconds: float) -> None:
        """What looking at a post's song took, as further posts: past the limit too, so that the next ones wait."""
        posts = int(cpu_seconds / CPU_SECONDS_A_POST)
        if self.posts_a_minute and posts:
            with redis_errors():
                self._charge(keys=[f"quota:{account}:{POSTS}"], args=[posts, MINUTE_SLICES, SLICE_MS])

    def audio_room(self, account: str, audio: AudioLength) -> LimitState | None:
        """Is there room for one more song, and for its audio? Charges nothing: submitting does.

        None where audio has no limit. Raises QuotaExceeded where too many of the account's songs are open.
        """
        if not self.audio_limit_seconds and not self.most_songs:
            return None
        with redis_errors():
            limits = (self.audio_limit_seconds, self.most_songs)
            wait, left, reserved, fits = self._room(args=[account, audio.said_seconds, *limits])
        if not fits:
            raise QuotaExceeded.of_songs(self.most_songs)
        if not self.audio_limit_seconds:
            return None
        asked = (self.audio_limit_seconds, audio.said_seconds, wait)
        refusal = QuotaExceeded.of_audio(*asked, reserved=bool(reserved)) if wait else None
        left_then = left if refusal else max(0, left - max(audio.said_seconds, audio.most_seconds))
        return LimitState(AUDIO, self.audio_limit_seconds, left_then, wait or DAY_SECONDS, DAY_SECONDS, refusal)

    def admission(self, account: str, audio: AudioLength | None = None) -> Admission:
        """The terms of a new song: submit charges what they say, in the step that queues it."""
        audio = audio or AudioLength(0, 0)
        seconds = (audio.said_seconds, audio.most_seconds, self.audio_limit_seconds)
        return Admission(self.most_waiting, account, self.most_songs, *seconds)


@dataclass(frozen=True)
class AudioLength:
    """How long a song is, as far as its file tells: what it says, and the most that its bytes can hold.

    Files lie, so the most is charged until the song has ended, or all that is left of the day where that is less. What
    it says need only fit: else a limit of an hour would let in no honest song of four minutes.
    """

    said_seconds: int
    most_seconds: int

    @classmethod
    def of(cls, about: Mapping[str, Any], longest_seconds: float) -> AudioLength:
        """`about`: the song as its upload was looked at; `longest_seconds`: what decoding lets by."""
        return cls(said_seconds(about, longest_seconds), most_seconds(about, longest_seconds))


def said_seconds(about: Mapping[str, Any], longest_seconds: float) -> int:
    """What a song declares, or a guess from its size where that cannot be.

    A recorder that was cut off leaves a length that nobody believes.
    """
    declared: float | None = about["duration_seconds"]
    if declared and declared <= longest_seconds:
        return ceil(declared)
    bytes_a_second = _pcm_bytes_a_second(about) or GUESSED_BYTES_A_SECOND
    return ceil(min(float(about["bytes"]) / bytes_a_second, longest_seconds))


def most_seconds(about: Mapping[str, Any], longest_seconds: float) -> int:
    """All bytes over the fewest that a second of the codec takes, no more than decoding lets by."""
    fewest = _pcm_bytes_a_second(about) or FEWEST_BYTES_A_SECOND.get(about["codec"])
    return ceil(min(float(about["bytes"]) / fewest, longest_seconds) if fewest else longest_seconds)


def _pcm_bytes_a_second(about: Mapping[str, Any]) -> float | None:
    """None of what is no PCM. The codec's name has its bits: pcm_s16le, pcm_f32be; those without any have 8."""
    codec, rate, channels = str(about["codec"]), int(about["sample_rate"]), int(about["channels"])
    if not codec.startswith("pcm_"):
        return None
    bits = re.search(r"\d+", codec)
    return max(rate * channels * (int(bits[0]) if bits else 8) / 8, 1)


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


def rate_headers(standings: Sequence[LimitState]) -> dict[str, str]:
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
