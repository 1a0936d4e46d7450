"""The averages behind ETAs, and the weight of a song's length in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

# A clip shorter than a model's segment takes as long as a whole one (htdemucs: 7.8 s); with its own length, one of 0.02
# s would make a service that takes a second per song look fifty times slower than real time.
SHORTEST_SECONDS = 8.0


def weight_of(audio_seconds: float) -> float:
    """The seconds of audio that a run counts as."""
    return max(audio_seconds, SHORTEST_SECONDS)


def of_model(pace: Mapping[str, float], name: str, model: str) -> float | None:
    """The average of the model's own runs; before the first of them, of all runs."""
    return pace.get(f"{name}:{model}", pace.get(name))
