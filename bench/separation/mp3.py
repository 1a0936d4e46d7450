"""Time and coding noise of LAME's qualities at 320 kb/s, and without its bit reservoir: `python -m bench.separation.mp3
SONG …`.

Signal over coding noise is of the waveform, in dB; seconds are of processor time, for a second of sound.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from msaas.audio.decode.decoder import Decoder
from msaas.audio.encode import mp3

RATE = 44_100
FASTEST = {"compression_level": "7"}
WAYS = {"LAME's own": {}, "quality 7": FASTEST, "quality 7 without the reservoir": FASTEST | {"reservoir": "0"}}


def samples_of(path: Path) -> np.ndarray:
    return np.concatenate(list(Decoder(path, sample_rate=RATE, channels=2).blocks()), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and coding noise of LAME's qualities at 320 kb/s.")
    parser.add_argument("songs", nargs="+", type=Path, metavar="SONG")
    options = parser.parse_args()
    print(f"| song | {' | '.join(f'{way}: seconds | dB' for way in WAYS)} |\n|---|{'---|---|' * len(WAYS)}")
    with tempfile.TemporaryDirectory() as folder:
        for song in options.songs:
            sound, coded, cells = samples_of(song), Path(folder) / "coded.mp3", [song.name]
            for way in WAYS.values():
                mp3.FAST = way
                began = time.process_time()
                how = {"sample_rate": RATE, "channels": 2, "total_samples": sound.shape[1], "bitrate_kbps": 320}
                with mp3.Mp3Writer(coded, **how) as writer:
                    writer.write(sound)
                seconds = (time.process_time() - began) * RATE / sound.shape[1]
                noise = ((samples_of(coded) - sound) ** 2).sum()
                cells += [f"{seconds:.3f}", f"{10 * np.log10((sound**2).sum() / noise):.1f}"]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
