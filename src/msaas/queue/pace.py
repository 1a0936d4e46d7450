"""The averages behind ETAs, and the weight of a song's length in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# A clip shorter than a model's segment takes as long as a whole one (htdemucs: 7.8 s); with its own length, one of 0.02
# s would make a service that takes a second per song look fifty times slower than real time.
SHORTEST_SECONDS = 8.0


def weight_of(audio_seconds: float) -> float:
    """The seconds of audio that a run counts as."""
    return max(audio_seconds, SHORTEST_SECONDS)


def run_name(models: Sequence[str]) -> str:
    """What the averages of a job's runs are kept under: its model and, after a `+` each, others that refine its stems.

    Those may be many times slower than the model. jobs/common.lua writes the same.
    """
    return "+".join((*models[:1], *sorted(models[1:])))


def of_models(pace: Mapping[str, float], name: str, models: Sequence[str]) -> float | None:
    """The average of runs by all these models, the job's own first; before the first of them, of its own alone; before
    the first of those, of all runs."""
    return pace.get(f"{name}:{run_name(models)}", of_model(pace, name, "".join(models[:1])))


def of_model(pace: Mapping[str, float], name: str, model: str) -> float | None:
    """The average of the model's own runs; before the first of them, of all runs."""
    return pace.get(f"{name}:{model}", pace.get(name))
