"""The list of guards to take away follows the sources; one of them is taken away here, all by `make chaos-mutants`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.lab.lab import ROOT
from tests.chaos.mutants import MUTANTS, try_mutant
from tests.chaos.rows.catalogue import ROWS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_each_mutant_still_applies(mutant):
    for file, old, _new in mutant.edits:
        assert (ROOT / "src" / "msaas" / file).read_text().count(old) == 1
    assert all(row in ROWS or (ROOT / row).is_file() for row in mutant.rows.split(","))


@pytest.mark.slow
def test_a_claim_without_a_lease_is_caught(tmp_path: Path):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "claim without a lease")
    assert try_mutant(mutant, tmp_path).row == "8"
