"""Reads the tags and the cover of a song in a sandboxed process."""

from __future__ import annotations

import logging
from pathlib import Path

from msaas.audio.sandbox import launcher, protocol
from msaas.audio.sandbox.client import PROBE_MEMORY_BYTES, START_SECONDS, read_answer
from msaas.audio.sandbox.protocol import Request
from msaas.audio.tags import Cover, SongTags
from msaas.errors import AudioError, ChildDied
from msaas.song_names import clean_tags

log = logging.getLogger(__name__)

SECONDS = 60.0  # generous, since stems must not depend on how busy the machine is
CPU_SECONDS = 10.0


def tags_isolated(path: Path) -> SongTags:
    """Empty if the file's tags cannot be read. Raises ChildDied if the process was killed from outside, SandboxError if
    it failed through no fault of the song."""
    request = Request(
        work="tags",
        path=str(path.absolute()),
        max_duration_seconds=0,
        max_decoded_bytes=0,
        seconds=SECONDS,
        memory_bytes=PROBE_MEMORY_BYTES,
        cpu_seconds=CPU_SECONDS,
    )
    try:
        with launcher.connect(request, SECONDS + START_SECONDS) as sock:
            message, data = protocol.receive(sock), b""
            if message and message[0] is protocol.Kind.BLOCK:
                data, message = bytes(message[1]), protocol.receive(sock)
    except OSError as error:
        raise ChildDied(f"no sandboxed process: {error}") from error
    try:
        texts = clean_tags(read_answer(request, message).get("texts"))
    except AudioError as error:
        log.warning("tags not read reason=%s", error)
        return SongTags()
    return SongTags(texts, Cover.of(data))
