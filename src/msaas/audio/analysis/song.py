"""Measures a song while it is separated: the mixture's loudness, its tempo by the drums, its key by the rest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msaas.audio.analysis.key import KeyMeter
from msaas.audio.analysis.loudness import LoudnessMeter
from msaas.audio.analysis.tempo import TempoMeter

log = logging.getLogger(__name__)

DRUMS, VOCALS = "drums", "vocals"

Samples = NDArray[np.float32]


class SongAnalyser:
    """`add` all blocks, then ask for the `result`. Never raises: a song is separated without an analysis, too."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._loudness = LoudnessMeter(sample_rate, channels) if channels in (1, 2) else None
        self._tempo, self._key = TempoMeter(sample_rate), KeyMeter(sample_rate)
        self._failed = False

    def add(self, mix: Samples, stems: Mapping[str, Samples]) -> None:
        """mix: [channels, n]. stems: those that the model makes in this run. Without drums the mixture has the beat."""
        if self._failed:
            return
        try:
            if self._loudness:
                self._loudness.add(mix)
            self._tempo.add(stems.get(DRUMS, mix).mean(axis=0))
            unpitched = [stems[name] for name in (DRUMS, VOCALS) if name in stems]
            self._key.add((mix - sum(unpitched, np.float32(0))).mean(axis=0))
        except Exception:
            log.exception("song not analysed")
            self._failed = True

    def result(self) -> dict[str, Any] | None:
        """As in a job's `analysis`; each part is None where it cannot be known."""
        if self._failed:
            return None
        try:
            loudness = self._loudness.result() if self._loudness else None
            tempo, key = self._tempo.result(), self._key.result()
        except Exception:
            log.exception("song not analysed")
            return None
        return {
            "loudness": loudness
            and {"integrated_lufs": round(loudness.integrated, 1), "true_peak_dbtp": round(loudness.true_peak, 1)},
            "tempo": tempo
            and {
                "bpm": round(tempo.bpm, 3),
                "confidence": round(tempo.confidence, 2),
                "first_beat_seconds": None if tempo.first_beat is None else round(tempo.first_beat, 3),
            },
            "key": key
            and {"name": key.name, "confidence": round(key.confidence, 2), "tuning_cents": round(key.tuning)},
        }
