"""The tags and cover of a song, and those of a stem made of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from msaas.song_names import stem_label

MAX_COVER_BYTES = 4_000_000  # each stem holds a copy
_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


@dataclass(frozen=True)
class Cover:
    """A picture that was not decoded: a JPEG or PNG by its first bytes."""

    data: bytes
    media_type: str

    @classmethod
    def of(cls, data: bytes) -> Cover | None:
        """None if it is another kind of file, or too large."""
        found = [kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)]
        return cls(data, found[0]) if found and len(data) <= MAX_COVER_BYTES else None


@dataclass(frozen=True)
class SongTags:
    """`texts`: those of song_names.TAG_NAMES that the song has, cleaned."""

    texts: Mapping[str, str] = field(default_factory=dict)
    cover: Cover | None = None


@dataclass(frozen=True)
class StemTags:
    """The tags of a stem: title, artist, album, track, date and comment, without the empty ones."""

    texts: Mapping[str, str]
    cover: Cover | None = None


def stem_tags(song: SongTags, stem: str, model: str) -> StemTags:
    """The song's own, with the stem in the title. They depend on the song's bytes, the stem and the model alone, as the
    stem's samples do."""
    label, title = stem_label(stem), song.texts.get("title")
    own = {"title": f"{title} ({label})" if title else label, "comment": f"separated by MSaaS with {model}"}
    return StemTags({**song.texts, **own}, song.cover)
