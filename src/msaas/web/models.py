"""The models that a request may choose, and what each separates. Loads no model."""

from __future__ import annotations

from typing import Any

from msaas.catalogue import catalogue
from msaas.web.services import Services


def offered_models(services: Services) -> tuple[str, ...]:
    """The models named by the settings; with MSAAS_MODELS=all also those that workers offer now, have loaded, or could
    not load, which say why.

    The latter are in Redis, so a request can choose them while no worker runs.
    """
    options = services.options
    if not options.all_models:
        return options.allowed_models
    workers = services.queue.workers()
    found = sorted({*workers.models, *workers.faulty, *services.queue.published_models()})
    return tuple(dict.fromkeys((*options.allowed_models, *options.licence_rule.allowed(found))))


def sources_of(services: Services, model: str) -> tuple[str, ...] | None:
    """A model's stems, as a worker that loaded it reports them, else by the catalogue; None if neither knows."""
    entry, sources = catalogue().get(model), services.queue.model_description(model).get("sources")
    if sources and isinstance(sources, list):
        return tuple(map(str, sources))
    return entry.sources if entry else None


def sample_rate_of(services: Services, model: str) -> int | None:
    """Hz, as known as its stems; None if neither a worker nor the catalogue has said it."""
    entry, rate = catalogue().get(model), services.queue.model_description(model).get("sample_rate")
    if isinstance(rate, int) and not isinstance(rate, bool):
        return rate
    return entry.sample_rate if entry else None


def facts_of(model: str) -> dict[str, Any]:
    """What the catalogue says of a model; None, and for `refines` nothing, for one that it does not have."""
    entry = catalogue().get(model)
    facts: dict[str, Any] = entry.facts() if entry else {}
    return {"refines": facts.get("refines", [])} | {name: facts.get(name) for name in FACTS}


FACTS = ("family", "summary", "licence", "sdr", "speed", "bytes", "training", "note")
