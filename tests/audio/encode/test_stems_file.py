"""Native Instruments Stems: five streams, the mix first, and what DJ programs read beside them."""

from __future__ import annotations

import io
import json
import struct

import av
import mutagen
import numpy as np
import pytest
from PIL import Image

from msaas.audio.encode.open_writer import open_writer
from msaas.audio.encode.stems_file import mix_tags, write_stems_file
from msaas.audio.tags import Cover, SongTags, stem_tags

NAMES = ("vocals", "other", "drums", "bass")  # not in the order of the file


def jpeg() -> Cover:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    cover = Cover.of(file.getvalue())
    assert cover
    return cover


SONG = SongTags({"title": "Harbour Lights", "artist": "MSaaS", "date": "2026"}, jpeg())
TAGS = mix_tags(stem_tags(SONG, "mix", "htdemucs"), "Harbour Lights")


def encode(path, samples):
    with open_writer(
        path, "stems.m4a", sample_rate=44_100, channels=2, total_samples=samples.shape[1], bitrate_kbps=256
    ) as writer:
        writer.write(samples)
    return path


@pytest.fixture
def parts(tmp_path, music):
    names = enumerate(("mix", *NAMES))
    return {name: encode(tmp_path / f"{name}.m4a", music(50_001, seed=seed)) for seed, name in names}


def join(path, parts, tags=TAGS, names=NAMES):
    write_stems_file(path, parts["mix"], {name: parts[name] for name in names}, tags)
    return path


@pytest.fixture
def made(tmp_path, parts):
    return join(tmp_path / "mix.stems.m4a", parts)


def stream(path, index):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(container.streams.audio[index])]
    return np.concatenate(frames, axis=1)


def boxes(data, start=0):
    """Name and content of each box."""
    while start < len(data):
        size, name = struct.unpack_from(">I4s", data, start)
        yield name, data[start + 8 : start + size]
        start += size


def moov_of(path):
    return dict(boxes(path.read_bytes()))[b"moov"]


def test_it_has_the_mix_and_the_stems_in_the_order_of_djs(made, parts):
    with av.open(str(made)) as container:
        assert len(container.streams.audio) == 5  # and the cover, for FFmpeg a video
    for index, name in enumerate(("mix", "drums", "bass", "other", "vocals")):
        assert np.array_equal(stream(made, index), stream(parts[name], 0))


def test_the_stem_box_says_what_they_are(made):
    about = json.loads(dict(boxes(dict(boxes(moov_of(made)))[b"udta"]))[b"stem"])
    assert about["version"] == 1
    assert [stem["name"] for stem in about["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert all(stem["color"].startswith("#") and len(stem["color"]) == 7 for stem in about["stems"])
    assert about["mastering_dsp"].keys() == {"compressor", "limiter"}
    assert not any(part["enabled"] for part in about["mastering_dsp"].values())


def test_only_the_mix_is_enabled_and_each_track_states_its_exact_length(made):
    tracks = [dict(boxes(content)) for name, content in boxes(moov_of(made)) if name == b"trak"]
    assert [track[b"tkhd"][3] & 1 for track in tracks] == [1, 0, 0, 0, 0]
    for track in tracks:
        _, count, duration, start = struct.unpack_from(">IIIi", dict(boxes(track[b"edts"]))[b"elst"])
        assert (count, duration, start) == (1, 50_001, 1_024)


def test_another_library_reads_it_with_the_songs_own_title(made):
    file = mutagen.File(made)
    assert file["\xa9nam"] == ["Harbour Lights"] and file["\xa9ART"] == ["MSaaS"]
    assert file["\xa9cmt"] == ["separated by MSaaS with htdemucs"]
    assert bytes(file["covr"][0]) == jpeg().data
    assert (file.info.codec, file.info.channels) == ("mp4a.40.2", 2)


def test_a_song_without_tags_is_no_obstacle(tmp_path, parts):
    path = join(tmp_path / "plain.m4a", parts, mix_tags(stem_tags(SongTags(), "mix", "m"), None))
    assert "\xa9nam" not in mutagen.File(path) and stream(path, 4).shape[0] == 2


def test_a_broken_part_leaves_no_file(tmp_path, parts):
    parts["bass"].write_bytes(b"no audio")
    with pytest.raises(av.FFmpegError):
        join(tmp_path / "x.m4a", parts)
    assert not (tmp_path / "x.m4a").exists()


def test_equal_songs_are_equal_files(tmp_path, parts, made):
    again = join(tmp_path / "again.m4a", parts, names=NAMES[::-1])
    assert again.read_bytes() == made.read_bytes()
