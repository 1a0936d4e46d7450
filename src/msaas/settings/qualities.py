"""What `quality` stands for: a model, an overlap and shifts, as text like `model=htdemucs_ft overlap=0.5 shifts=5`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from msaas.errors import InvalidOption
from msaas.options import Options

NAMES = ("model", "overlap", "shifts")


def parse_quality(text: str) -> Mapping[str, Any]:
    """The options named in the text. Raises ValueError."""
    given = dict(_pair(word) for word in text.split())
    try:
        options = asdict(Options.parse(given, default_model="any", allowed=("any", given.get("model", "any"))))
    except InvalidOption as error:
        raise ValueError(str(error)) from error
    return MappingProxyType({name: options[name] for name in given})


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if name not in NAMES or not equals or not value:
        raise ValueError(f"{word!r} is not one of {', '.join(f'{name}=…' for name in NAMES)}")
    return name, value
