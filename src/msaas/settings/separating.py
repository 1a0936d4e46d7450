"""The settings of how workers separate songs, and mix their stems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msaas.settings.field import setting
from msaas.settings.parsers import choice, flag, number
from msaas.settings.qualities import parse_quality

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32")


@dataclass(frozen=True)
class SeparationSettings:
    """Part of Settings."""

    quality_fast: Mapping[str, Any] = setting(
        "MSAAS_QUALITY_FAST",
        "overlap=0.1",
        parse_quality,
        "options",
        "what quality=fast stands for: any of model=, overlap= and shifts=, separated by spaces",
    )
    quality_balanced: Mapping[str, Any] = setting(
        "MSAAS_QUALITY_BALANCED", "", parse_quality, "options", "what quality=balanced stands for; empty: the defaults"
    )
    quality_best: Mapping[str, Any] = setting(
        "MSAAS_QUALITY_BEST", "shifts=5", parse_quality, "options", "what quality=best stands for"
    )
    analysis: bool = setting(
        "MSAAS_ANALYSIS", "true", flag, "bool", "whether workers measure the loudness, tempo and key of each song"
    )
    device: str = setting(
        "MSAAS_DEVICE", "auto", choice(DEVICES), "", "auto, cpu, cuda or mps; auto prefers CUDA, then MPS"
    )
    batch: int = setting(
        "MSAAS_BATCH", "0", number(int, 0, 256), "segments", "segments per forward pass; 0 chooses by device"
    )
    lanes: int = setting(
        "MSAAS_LANES",
        "0",
        number(int, 0, 64),
        "segments",
        "segments at a time on a CPU, each with its own memory; 0: one for each thread, at most 4",
    )
    songs_in_flight: int = setting(
        "MSAAS_SONGS_IN_FLIGHT",
        "0",
        number(int, 0, 16),
        "songs",
        "songs that a worker runs at a time: one is read or stored while another separates; 0: two on CUDA, else one",
    )
    cpu_threads: int = setting(
        "MSAAS_CPU_THREADS", "0", number(int, 0, 1024), "threads", "torch threads; 0 leaves the choice to torch"
    )
    precision: str = setting(
        "MSAAS_PRECISION",
        "auto",
        choice(PRECISIONS),
        "",
        "fp32 matches Demucs within 1e-4; auto is the fastest engine within 40 dB of it, measured at model load",
    )
    mixers: int = setting(
        "MSAAS_MIXERS",
        "1",
        number(int, 0, 64),
        "threads",
        "mixes that a worker renders at once, beside its song; 0 leaves them to other workers",
    )
