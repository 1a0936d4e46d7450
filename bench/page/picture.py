"""Draws a song and its stems as waveforms: `python -m bench.page.picture SONG STEMS_FOLDER docs/stems.svg`."""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np

COLUMNS, TRACK_HEIGHT, LABEL_WIDTH, STEP = 360, 56, 76, 2
COLOURS = {"vocals": "#d6336c", "drums": "#1c7ed6", "bass": "#2f9e44", "other": "#f08c00"}


def peaks(path: Path) -> np.ndarray:
    """The largest amplitude in each of COLUMNS sections of the file, 0 to 1."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="fltp")
        blocks = [part.to_ndarray() for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    loud = np.abs(np.concatenate(blocks, axis=1)).max(axis=0)
    return np.array([section.max() for section in np.array_split(loud, COLUMNS)])


def track(name: str, heights: np.ndarray, top: int, colour: str) -> str:
    middle = top + TRACK_HEIGHT / 2
    half = heights * (TRACK_HEIGHT / 2 - 3)
    bars = "".join(f"M{LABEL_WIDTH + i * STEP} {middle - h:.1f}v{2 * h:.1f}" for i, h in enumerate(half))
    text = f'<text x="4" y="{middle + 5:.0f}" fill="{colour}">{name}</text>'
    return f'{text}<path d="{bars}" stroke="{colour}" stroke-width="1.3"/>'


def picture(song: Path, stems: Path) -> str:
    tracks = [track("song", peaks(song), 0, "#868e96")]
    for row, (name, colour) in enumerate(COLOURS.items(), start=1):
        tracks.append(track(name, peaks(stems / f"{name}.mp3"), row * TRACK_HEIGHT, colour))
    width, height = LABEL_WIDTH + COLUMNS * STEP, TRACK_HEIGHT * len(tracks)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    return "\n".join([head, *tracks, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws a song and its stems as waveforms.")
    parser.add_argument("song", type=Path)
    parser.add_argument("stems", type=Path, help="folder of the four stems as MP3")
    parser.add_argument("target", type=Path, help="the SVG to write")
    options = parser.parse_args()
    options.target.write_text(picture(options.song, options.stems), encoding="utf-8")


if __name__ == "__main__":
    main()
