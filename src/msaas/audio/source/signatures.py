"""The byte marks that containers start with, to find a song after garbage. Each is too long to occur by chance."""

from __future__ import annotations

import re

from msaas.audio.source.window import Window

_STRIDE = 1 << 20
_LONGEST = 128  # bytes of one mark

# FFmpeg skips garbage for MP3, ADTS, AC-3 and MPEG streams only.
_STARTS = re.compile(
    rb"fLaC\x00\x00\x00\x22"
    rb"|OggS\x00\x02"
    rb"|RIFF.{4}(?:WAVE|AVI )|(?:RF64|BW64).{4}WAVE"
    rb"|riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"  # Wave64
    rb"|FORM.{4}(?:AIFF|AIFC|8SVX|16SV)"
    rb"|FRM8.{8}DSD |DSD \x1c\x00{7}"
    rb"|caff\x00[\x01\x02].{2}desc"
    rb"|\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]"
    rb"|wvpk.{4}[\x02-\x10]\x04"
    rb"|TTA1[\x01-\x03]\x00"
    rb"|MPCKSH|MAC .\x0f\x00\x00|tBaK\x01|ajkg\x02"
    rb"|\x00\x00..ftyp[ -~]{4}"
    rb"|\x1a\x45\xdf\xa3.{1,100}?(?:matroska|webm)"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"  # ASF
    rb"|FLV\x01[\x01\x04\x05]\x00\x00\x00\x09"
    rb"|Creative Voice File\x1a"
    rb"|#!AMR(?:-WB)?\n"
    rb"|\.RMF\x00\x00\x00\x12"
    rb"|nut/multimedia container\x00",
    re.DOTALL,
)


def find_start(song: Window, at: int, max_bytes: int | None = None) -> int | None:
    """The first position from `at` on where a song seems to start, or None.

    max_bytes: how far to search; None: to the end.
    """
    end = song.size if max_bytes is None else min(song.size, at + max_bytes)
    while at < end:
        found = _STARTS.search(song.bytes_at(at, min(_STRIDE, end - at) + _LONGEST))
        if found and at + found.start() < end:
            return at + found.start()
        at += _STRIDE
    return None
