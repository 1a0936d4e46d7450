"""A Native Instruments Stems file: an MP4 with the mix and four stems as AAC, for DJ programs.

Names and values follow Native Instruments' own creator of such files: the mix first and alone enabled, so that any
other player plays it, and a box `stem` with JSON beside the tags.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import av

from msaas.audio.encode.disk_full import full_disk_as_scratch_full
from msaas.audio.encode.tagging.atoms import add_cover, append_box, box
from msaas.audio.tags import StemTags
from msaas.song_names import stem_label

ORDER = ("drums", "bass", "other", "vocals")  # as DJs expect them; others follow
# The palette of Okabe and Ito, which Native Instruments' creator uses, too.
COLOURS = {"drums": "#009E73", "bass": "#D55E00", "other": "#CC79A7", "vocals": "#56B4E9"}
SPARE_COLOURS = ("#E69F00", "#F0E442", "#0072B2", "#999999")
_COMPRESSOR = {
    **{"enabled": False, "ratio": 10, "output_gain": 0.5, "release": 0.3, "attack": 0.0001},
    **{"input_gain": 0.5, "threshold": 0, "hp_cutoff": 300, "dry_wet": 50},
}
_LIMITER = {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35}


def write_stems_file(path: Path, mix: Path, stems: dict[str, Path], tags: StemTags) -> None:
    """`mix` and `stems`: AAC in MP4 of equal length, whose packets are copied. Raises ScratchFull; leaves no partial
    file."""
    names = sorted(stems, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
    try:
        with full_disk_as_scratch_full(path):
            _mux(path, [mix, *(stems[name] for name in names)], tags)
            if tags.cover:
                add_cover(path, tags.cover)
            append_box(path, (b"moov", b"udta"), box(b"stem", stem_json(names)))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def stem_json(names: Sequence[str]) -> bytes:
    spare = iter(SPARE_COLOURS)
    stems = [{"color": COLOURS.get(name) or next(spare), "name": stem_label(name)} for name in names]
    dsp = {"compressor": _COMPRESSOR, "limiter": _LIMITER}
    return json.dumps({"mastering_dsp": dsp, "version": 1, "stems": stems}, separators=(",", ":")).encode()


def _mux(path: Path, tracks: Sequence[Path], tags: StemTags) -> None:
    with ExitStack() as files:
        sources = [files.enter_context(av.open(f"file:{track}")) for track in tracks]
        rate = sources[0].streams.audio[0].codec_context.sample_rate
        options = {"movie_timescale": str(rate)}  # of the edit lists' lengths
        out = files.enter_context(av.open(f"file:{path}", "w", format="ipod", container_options=options))
        out.flags |= cast(int, av.container.Flags.bitexact.value)
        out.metadata.update(tags.texts)
        streams = [out.add_stream_from_template(source.streams.audio[0]) for source in sources]
        packets = [source.demux(source.streams.audio[0]) for source in sources]
        for together in zip(*packets, strict=True):
            for stream, packet in zip(streams, together, strict=True):
                if packet.dts is not None:  # the last, empty one
                    packet.stream = stream
                    out.mux(packet)


def mix_tags(tags: StemTags, title: str | None) -> StemTags:
    """The tags of a stem for the whole song, under its own title."""
    texts = {name: text for name, text in tags.texts.items() if name != "title"}
    return replace(tags, texts=texts | ({"title": title} if title else {}))
