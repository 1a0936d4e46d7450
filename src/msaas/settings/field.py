"""A setting as a dataclass field: its variable, default, parser, unit and help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from msaas.errors import SettingsError
from msaas.settings.credentials import is_credential


def setting(name: str, default: str, parse: Callable[[str], Any], unit: str, help_: str) -> Any:
    meta = {"name": name, "default": default, "parse": parse, "unit": unit, "help": help_}
    return field(default_factory=lambda: parse(default), metadata=meta)


def read(meta: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """The value of the variable in `environ`. Raises SettingsError."""
    value = environ[meta["name"]]
    try:
        return meta["parse"](value)
    except ValueError as error:
        shown = "(hidden)" if is_credential(meta["name"]) else repr(value)
        raise SettingsError(f"{meta['name']}={shown} is not usable: {error}") from error
