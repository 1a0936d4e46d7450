"""Which variables hold credentials: neither shown nor handed on."""

from __future__ import annotations

from collections.abc import Mapping

HIDDEN = ("KEY", "PASSWORD", "SECRET")


def is_credential(name: str) -> bool:
    return any(word in name.upper() for word in HIDDEN)


def without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """For processes that read untrusted files: they hold no credentials to leak."""
    return {name: value for name, value in environ.items() if not is_credential(name)}
