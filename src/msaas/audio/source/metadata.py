"""Reads the tags and the cover of a song with FFmpeg. What cannot be read is left out: no song fails for its tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

from msaas.audio.source.opening import OpenStream, open_as, open_part
from msaas.audio.source.tags import leading_bytes, trailing_bytes
from msaas.audio.source.window import Window
from msaas.audio.tags import MAX_COVER_BYTES, Cover, SongTags
from msaas.song_names import clean_tags

# FFmpeg holds a tag in memory, with its cover. Larger tags are not read.
MAX_TAG_BYTES = 32 << 20
# Names of containers that FFmpeg does not translate (APEv2, Vorbis comments of some writers) ▸ ours.
_OTHER_NAMES = {"year": "date", "tracknumber": "track"}
UNREADABLE = (av.FFmpegError, EOFError, ValueError, MemoryError)


def song_tags(path: Path) -> SongTags:
    """The tags and the cover of a song. Raises NotAudio; OSError if the file cannot be read."""
    with path.open("rb", buffering=0) as file:
        part = open_part(Window(file, 0, path.stat().st_size))
        with closing(part):
            texts, cover = tags_of(part, path), cover_in(part.container)
    return SongTags(texts, cover or next(filter(None, map(cover_in, whole_files(path))), None))


def cover_in(container: InputContainer) -> Cover | None:
    """The picture of the front, else the first one, as it is in the file."""
    pictures = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    for stream in sorted(pictures, key=lambda one: one.metadata.get("comment") != "Cover (front)"):
        with suppress(*UNREADABLE):
            packet = next(container.demux(stream))
            if packet.size <= MAX_COVER_BYTES and (cover := Cover.of(bytes(packet))):
                return cover
    return None


def tags_of(part: OpenStream, path: Path) -> dict[str, str]:
    """The tags of a song whose first part is open. `path`: its file, in which tags may stand around the part."""
    found = _tags_in(part.container)
    if found or (part.format != "mp3" and not part.window.start):
        return found
    return next(filter(None, map(_tags_in, whole_files(path))), {})


def whole_files(path: Path) -> Iterator[InputContainer]:
    """The whole file, with the tags before and after the song, which `open_part` leaves out; open until the next step.

    Nothing if there are none, or if they are too large or cannot be read. The second attempt is for a tag beyond the
    probe buffer.
    """
    with path.open("rb", buffering=0) as file:
        whole = Window(file, 0, path.stat().st_size)
        if not 0 < leading_bytes(whole) + trailing_bytes(whole) <= MAX_TAG_BYTES:
            return
        for demuxer in (None, "mp3"):
            with suppress(*UNREADABLE), closing(open_as(demuxer, whole)) as container:
                yield container


def _tags_in(container: InputContainer) -> dict[str, str]:
    streams = [stream.metadata for stream in container.streams.audio[:1]]  # Ogg has them there
    return clean_tags({name: text for found in (*streams, container.metadata) for name, text in _named(found)})


def _named(found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, text in found.items():
        yield _OTHER_NAMES.get(name.lower(), name.lower()), text
