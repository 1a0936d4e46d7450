"""Hours cost what minutes cost: peak memory of decoding and encoding, measured in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from msaas.audio.encode.wav import wav_header

# Decodes to the model's rate, measures, and encodes one MP3: what a run does around the model.
PASS = """
import resource, sys
from pathlib import Path
from msaas.audio.decode.decoder import Decoder, measure
from msaas.audio.encode.open_writer import open_writer
decoder = Decoder(Path(sys.argv[1]), sample_rate=int(sys.argv[2]), channels=2)
stats = measure(decoder)
with open_writer(Path(sys.argv[1] + ".out"), sys.argv[3], sample_rate=int(sys.argv[2]), channels=2,
                 total_samples=stats.total_samples, bitrate_kbps=32) as writer:
    for block in decoder.blocks():
        writer.write(block)
print(stats.total_samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def cost(path, fmt):
    """(samples, peak in MiB)"""
    done = subprocess.run(
        [sys.executable, "-c", PASS, str(path), "32000", fmt], capture_output=True, text=True, check=True, timeout=120
    )
    samples, peak = done.stdout.split()
    return int(samples), int(peak)


def silence(path, seconds):
    """A WAV of `seconds` at 8 kHz, mono: a hole in the disk behind a header."""
    with path.open("wb") as file:
        file.write(wav_header(8_000, 1, seconds * 8_000))
        file.truncate(file.tell() + seconds * 8_000 * 4)
    return path


@pytest.mark.parametrize("fmt", ["wav", *(pytest.param(fmt, marks=pytest.mark.slow) for fmt in ("mp3", "flac"))])
def test_sixteen_times_the_song_costs_no_more_memory(tmp_path, fmt):
    short = cost(silence(tmp_path / "short", 15), fmt)
    long = cost(silence(tmp_path / "long", 240), fmt)
    assert (short[0], long[0]) == (15 * 32_000, 240 * 32_000)
    assert long[1] <= short[1] * 1.1 + 4


def test_one_giant_packet_is_cut_into_small_blocks(tmp_path, music, write_song):
    """Half a minute in one frame, as some recorders write it."""
    from msaas.audio.decode.decoder import Decoder

    path = write_song(tmp_path / "a", music(1_300_000, 1), codec="pcm_s16le", container="nut")
    sizes = [block.shape[1] for block in Decoder(path, sample_rate=44_100, channels=2).blocks()]
    assert sum(sizes) == 1_300_000
    assert max(sizes) <= 1 << 17
