"""Finds what comes with MSaaS beside its code: the sample song and the small models."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path


def shipped_folders() -> Iterator[Path]:
    """Folders that may have `data` and `models`: a source tree, also of an editable install; the current folder; what a
    wheel has installed."""
    yield Path(__file__).resolve().parents[3]
    yield Path.cwd()
    yield Path(sysconfig.get_path("data")) / "share" / "msaas"
