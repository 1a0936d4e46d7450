"""The settings that the routes need. Built by msaas.wiring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msaas.catalogue import LicenceRule
from msaas.fetching.sources import SourcePolicy
from msaas.outbound.targets import TargetPolicy


@dataclass(frozen=True)
class ApiOptions:
    """`model`: the default; the first of `allowed_models`. `all_models`: a request may choose those of
    the workers, too. `qualities`: the options that each stands for. `retention_hours`: 0 keeps jobs for ever.
    `share_days`: how long links that share a song may last; 0: there are none.
    """

    model: str
    allowed_models: tuple[str, ...]
    qualities: Mapping[str, Mapping[str, Any]]
    max_upload_bytes: int
    max_duration_seconds: float
    scratch_dir: Path
    retention_hours: float
    debug_endpoints: bool
    callback_targets: TargetPolicy
    sources: SourcePolicy | None  # of songs by address; None: they are not accepted
    share_days: float = 0.0
    all_models: bool = False
    licence_rule: LicenceRule = field(default_factory=LicenceRule)
