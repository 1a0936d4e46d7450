"""The output formats of stems: the one table that all other modules read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from msaas.errors import InvalidOption

# MPEG-1 layer III (ISO 11172-3, table 2.4.2.3): 32, 44.1 and 48 kHz. What lower rates allow: audio/encode/mp3.py.
MP3_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


@dataclass(frozen=True)
class Format:
    """`name` is the option's value and the file extension.

    needs_gain: fixed point, so that all stems of a song share one gain, known only once all are written.
    """

    name: str
    media_type: str
    quality: str  # for people; empty if the bit rate describes it
    bits: int | None = None  # of a sample; None: lossy
    needs_gain: bool = False
    bitrates: tuple[int, ...] = ()  # kb/s; empty: the format has none
    default_bitrate: int = 0  # kb/s

    @property
    def suffix(self) -> str:
        return f".{self.name}"

    @property
    def label(self) -> str:
        return f"{self.name} ({self.quality})" if self.quality else self.name


_ALL = (
    Format("mp3", "audio/mpeg", "", bitrates=MP3_BITRATES, default_bitrate=320),
    Format("flac", "audio/flac", "24 bit", bits=24, needs_gain=True),
    Format("wav", "audio/wav", "32-bit float", bits=32),
)
FORMATS: Mapping[str, Format] = MappingProxyType({one.name: one for one in _ALL})
FORMAT_NAMES = tuple(FORMATS)  # for comparison with untrusted values, which may be unhashable
DEFAULT_FORMAT = "mp3"
DEFAULT_BITRATE = FORMATS[DEFAULT_FORMAT].default_bitrate
WITH_BITRATES = ", ".join(one.name for one in _ALL if one.bitrates)


def format_named(name: object) -> Format:
    """The format with this name. Raises InvalidOption for an unknown name."""
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        raise InvalidOption(f"format {name!r} is unknown; choose one of {', '.join(FORMATS)}")
    return found


def media_type_of(object_name: str) -> str:
    """The media type of `<songhash>-<stem>.<format>`. Raises KeyError for another extension."""
    return FORMATS[object_name.rpartition(".")[2]].media_type
