"""The weight of a song's length in averages and ETAs. Pure."""

from __future__ import annotations

# A clip shorter than a model's segment takes as long as a whole one (htdemucs: 7.8 s); with its own length, one of 0.02
# s would make a service that takes a second per song look fifty times slower than real time.
SHORTEST_SECONDS = 8.0


def weight_of(audio_seconds: float) -> float:
    """The seconds of audio that a run counts as."""
    return max(audio_seconds, SHORTEST_SECONDS)
