"""Ten seconds of `make fuzz`, which goes on for ten minutes."""

from __future__ import annotations

import pytest

from tests.hostile.fuzz import run

pytestmark = pytest.mark.slow


def test_ten_seconds_of_damaged_songs_end_as_songs_may():
    found = run(10, seed=2)
    assert found.files > 5
    assert not found.failures
