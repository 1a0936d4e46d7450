"""Which models the separation process keeps loaded: those used last, within a budget of bytes. Loads none itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Loaded = TypeVar("Loaded")


class LoadedModels(Generic[Loaded]):
    """Always keeps the model used last, whatever its size. A budget of 0 keeps no other.

    `size_of`: bytes of a loaded model. `expected_bytes`: of one that was never loaded, 0 if unknown. `changed` is
    called with the names, the one used last at the end, whenever they change.
    """

    def __init__(
        self,
        load: Callable[[str], Loaded],
        size_of: Callable[[Loaded], int],
        *,
        budget_bytes: int = 0,
        expected_bytes: Callable[[str], int] = lambda _name: 0,
        changed: Callable[[tuple[str, ...]], object] = lambda _names: None,
    ) -> None:
        self._load, self._size_of, self._budget_bytes = load, size_of, budget_bytes
        self._expected_bytes, self._changed = expected_bytes, changed
        self._models: dict[str, Loaded] = {}  # the one used last at the end
        self._bytes: dict[str, int] = {}  # of all models that were ever loaded here
        self._reported: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._models)

    @property
    def all(self) -> dict[str, Loaded]:
        """By name; none of them counts as used."""
        return dict(self._models)

    @property
    def count_ever(self) -> int:
        """The number of models that were ever loaded here."""
        return len(self._bytes)

    def get(self, name: str) -> Loaded:
        """Loads the model if necessary, after making room for it: all of them at once may not fit into memory."""
        try:
            if name in self._models:
                self._models[name] = self._models.pop(name)
            else:
                self._drop_others(name, self._bytes.get(name) or self._expected_bytes(name))
                model = self._load(name)
                self._models[name], self._bytes[name] = model, self._size_of(model)
                self._drop_others(name, 0)
            return self._models[name]
        finally:
            self._report()

    def _drop_others(self, name: str, coming_bytes: int) -> None:
        """Drops the models used longest ago until the rest, and `coming_bytes`, are within the budget."""
        for other in self.names:
            over = self._total_bytes() + coming_bytes > self._budget_bytes
            if other != name and (over or not self._budget_bytes):
                del self._models[other]

    def _total_bytes(self) -> int:
        return sum(self._bytes[name] for name in self._models)

    def _report(self) -> None:
        if self.names != self._reported:
            self._reported = self.names
            self._changed(self.names)
