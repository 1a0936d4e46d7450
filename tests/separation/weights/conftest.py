"""What the tests of weights share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from msaas.catalogue import LicenceRule


@pytest.fixture
def licences() -> Callable[..., LicenceRule]:
    """The rule of an operator who accepts the given models."""
    return lambda *names: LicenceRule(frozenset(names))
