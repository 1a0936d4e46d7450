"""The settings of mixes that workers render."""

from __future__ import annotations

from dataclasses import dataclass

from msaas.settings.field import setting
from msaas.settings.parsers import number


@dataclass(frozen=True)
class MixSettings:
    """Part of Settings."""

    mixers: int = setting(
        "MSAAS_MIXERS",
        "1",
        number(int, 0, 64),
        "threads",
        "mixes that a worker renders at once, beside its song; 0 leaves them to other workers",
    )
