"""The output formats of stems: the one table that all other modules read, and the options that it decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from msaas.errors import InvalidOption

# ISO 11172-3 (table 2.4.2.3) and 13818-3, layer III, in kb/s; MPEG-2.5, below 16 kHz, is an extension of the latter.
MP3_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG25 = (8, 16, 24, 32, 40, 48, 56, 64)
MP3_BITRATES_AT: Mapping[int, tuple[int, ...]] = MappingProxyType(
    {
        **dict.fromkeys((32_000, 44_100, 48_000), MP3_BITRATES),
        **dict.fromkeys((16_000, 22_050, 24_000), _MPEG2),
        **dict.fromkeys((8_000, 11_025, 12_000), _MPEG25),
    }
)
# ISO 14496-3, table 1.16
AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000)
STEMS_FILE = "stems.m4a"  # one file with the mix and four stems, for DJ programs
MIX = "mix"  # what that file is called among stems
AAC_BITRATES = (64, 96, 128, 160, 192, 224, 256, 320)
OPUS_RATE = 48_000  # of every decoded Opus stream (RFC 7845)
FLAC_MAX_RATE = 655_350  # the 20 bits of STREAMINFO (RFC 9639) as FFmpeg reads them
SOURCE_RATE = "source"
SAMPLE_RATES: tuple[int | str, ...] = (SOURCE_RATE, 44_100, 48_000)  # as a request names them
DEPTH_NAMES = {"16": "16 bit", "24": "24 bit", "32f": "32-bit float"}


@dataclass(frozen=True)
class Format:
    """`name` is the option's value and the file extension. `depths`: of a sample, as `bit_depth` names them; the first
    is the default; none: lossy. `rates`: in Hz; none: any."""

    name: str
    media_type: str
    depths: tuple[str, ...] = ()
    rates: tuple[int, ...] = ()
    bitrates: tuple[int, ...] = ()  # kb/s; empty: the format has none
    default_bitrate: int = 0  # kb/s

    @property
    def suffix(self) -> str:
        return f".{self.name}"

    @property
    def quality(self) -> str:
        """For people; empty if the bit rate describes it."""
        return " or ".join(DEPTH_NAMES[depth] for depth in self.depths)

    @property
    def label(self) -> str:
        return f"{self.name} ({self.quality})" if self.quality else self.name

    def depth(self, chosen: str | None) -> str | None:
        """The depth that a chosen one, or None for the default, stands for; None for a lossy format."""
        return chosen or (self.depths[0] if self.depths else None)

    def needs_gain(self, chosen: str | None = None) -> bool:
        """Whether samples are fixed point, so that all stems of a song share one gain, known only once all are
        written."""
        return self.depth(chosen) in ("16", "24")

    @property
    def only_rate(self) -> int | None:
        return self.rates[0] if len(self.rates) == 1 else None

    def refuse_rate(self, sample_rate: int) -> None:
        """Raises InvalidOption for a rate that the format does not have."""
        if self.rates and sample_rate not in self.rates:
            known = ", ".join(map(str, self.rates))
            raise InvalidOption(f"{self.name} cannot hold {sample_rate} Hz; it supports {known}")
        if self.name == "flac" and not 1 <= sample_rate <= FLAC_MAX_RATE:
            raise InvalidOption(f"flac cannot hold {sample_rate} Hz; the maximum is {FLAC_MAX_RATE}")

    def refuse_bitrate(self, sample_rate: int, bitrate_kbps: int) -> None:
        """Raises InvalidOption for a bit rate that the format does not have at this rate."""
        if self.name == "mp3" and bitrate_kbps not in MP3_BITRATES_AT[sample_rate]:
            allowed = ", ".join(map(str, MP3_BITRATES_AT[sample_rate]))
            raise InvalidOption(f"bitrate {bitrate_kbps}: mp3 at {sample_rate} Hz supports {allowed}")


_ALL = (
    Format("mp3", "audio/mpeg", rates=tuple(sorted(MP3_BITRATES_AT)), bitrates=MP3_BITRATES, default_bitrate=320),
    Format("flac", "audio/flac", depths=("24", "16")),
    Format("wav", "audio/wav", depths=("32f", "24", "16")),
    Format("m4a", "audio/mp4", rates=AAC_RATES, bitrates=AAC_BITRATES, default_bitrate=256),
    Format("opus", "audio/ogg", rates=(OPUS_RATE,), bitrates=(32, 48, 64, 96, 128, 160, 192, 256), default_bitrate=192),
    Format(STEMS_FILE, "audio/mp4", rates=(44_100,), bitrates=AAC_BITRATES, default_bitrate=256),
)
FORMATS: Mapping[str, Format] = MappingProxyType({one.name: one for one in _ALL})
FORMAT_NAMES = tuple(FORMATS)  # for comparison with untrusted values, which may be unhashable
DEFAULT_FORMAT = "mp3"
DEFAULT_BITRATE = FORMATS[DEFAULT_FORMAT].default_bitrate
BITRATES = tuple(sorted({bitrate for one in _ALL for bitrate in one.bitrates}))
WITH_BITRATES = ", ".join(one.name for one in _ALL if one.bitrates)
WITH_DEPTHS = ", ".join(one.name for one in _ALL if one.depths)


def format_named(name: object) -> Format:
    """The format with this name. Raises InvalidOption for an unknown name."""
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidOption(f"format {name!r} is unknown; choose one of {', '.join(FORMATS)}")
    return found


def media_type_of(object_name: str) -> str:
    """The media type of `<songhash>-<stem>.<format>`. Raises KeyError for another extension. A stems file is an m4a."""
    return FORMATS[object_name.rpartition(".")[2]].media_type


# --- options of a request; each raises InvalidOption


def parse_bitrate(value: Any, format_: Format) -> int | None:
    """kb/s; None if the format has no bit rates."""
    if value in (None, ""):
        return format_.default_bitrate or None
    if not format_.bitrates:
        raise InvalidOption(f"bitrate belongs to {WITH_BITRATES}; {format_.name} has none")
    try:
        bitrate = int(str(value))
    except ValueError:
        bitrate = -1
    if isinstance(value, bool) or bitrate not in format_.bitrates:
        known = ", ".join(map(str, format_.bitrates))
        raise InvalidOption(f"bitrate {str(value)[:20]!r} is unknown; choose one of {known} kb/s")
    return bitrate


def parse_sample_rate(value: Any, format_: Format) -> int | str | None:
    """Hz, or SOURCE_RATE for the song's own; None for the model's, and for the only one that a format has."""
    if value in (None, ""):
        return None
    found = {str(rate): rate for rate in SAMPLE_RATES}.get(str(value)) if not isinstance(value, bool) else None
    if found is None:
        known = ", ".join(map(str, SAMPLE_RATES))
        raise InvalidOption(f"sample_rate {str(value)[:20]!r} is unknown; choose one of {known}")
    if format_.only_rate:
        if found != format_.only_rate:
            raise InvalidOption(f"sample_rate {found}: {format_.name} always has {format_.only_rate} Hz")
        return None
    return found


def parse_bit_depth(value: Any, format_: Format) -> str | None:
    """One of the format's depths; None for its default, however it was named."""
    if value in (None, ""):
        return None
    depth = str(value)
    if not format_.depths:
        raise InvalidOption(f"bit_depth belongs to {WITH_DEPTHS}; {format_.name} has none")
    if isinstance(value, bool) or depth not in format_.depths:
        known = ", ".join(one for one in DEPTH_NAMES if one in format_.depths)
        raise InvalidOption(f"bit_depth {depth[:20]!r}: {format_.name} has {known}")
    return None if depth == format_.depths[0] else depth


_SWITCH = {"true": True, "1": True, "false": False, "0": False}


def parse_switch(option: str, value: Any) -> bool:
    if value in (None, ""):
        return False
    found = _SWITCH.get(str(value).lower())
    if found is None or isinstance(value, float):
        raise InvalidOption(f"{option} {str(value)[:20]!r} is not true or false")
    return found
