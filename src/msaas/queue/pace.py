"""How a song's length counts when runs are averaged and foretold. Pure."""

from __future__ import annotations

# A clip shorter than a model's segment takes as long as a whole one (htdemucs: 7.8 s); taken at its own length, one
# of 0.02 s would make a service of a second a song look fifty times slower than real time.
SHORTEST_SECONDS = 8.0


def weight_of(audio_seconds: float) -> float:
    """The seconds of audio that a run of this many is counted as."""
    return max(audio_seconds, SHORTEST_SECONDS)
