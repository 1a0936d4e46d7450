"""Weights without a stated licence are refused until the operator accepts the model by its name. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msaas.catalogue.read import catalogue
from msaas.catalogue.records import Catalogue

SETTING = "MSAAS_ACCEPT_UNLICENSED"


@dataclass(frozen=True)
class LicenceRule:
    """The models that the operator accepts although their weights have no stated licence."""

    accepted: frozenset[str] = frozenset()

    def refusal(self, name: str, models: Catalogue | None = None) -> str:
        """Why the model must not be used; empty if it may. A name outside the catalogue is the operator's own model."""
        entry = (models or catalogue()).get(name)
        if entry is None or entry.licence.stated or name in self.accepted:
            return ""
        return (
            f"the weights of the model {name!r} have no stated licence ({entry.licence.statement.rstrip('.')}); "
            f"to use them all the same, set {SETTING}={','.join(sorted({*self.accepted, name}))}"
        )

    def allowed(self, names: Iterable[str], models: Catalogue | None = None) -> tuple[str, ...]:
        """The names that may be used, in their order."""
        return tuple(name for name in names if not self.refusal(name, models))
