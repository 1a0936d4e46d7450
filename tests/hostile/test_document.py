"""docs/security.md names tests, and each of them exists; docs/hostile.md has every hostile song."""

from __future__ import annotations

import ast
import re

from tests.conftest import REPOSITORY
from tests.hostile.table import ROWS

CLAIMS = {row.claim for row in ROWS}


def shown_by() -> list[list[str]]:
    """The names in the last column of each row of each table."""
    rows = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    cells = [row.strip("|").split("|")[-1] for row in rows if row.startswith("|") and "---" not in row]
    return [re.findall(r"`([^`]+)`", cell) for cell in cells if cell.strip() != "shown by"]


def functions_of(path: str) -> set[str]:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_threat_names_tests_and_each_of_them_exists():
    assert len(shown_by()) > 25
    missing = []
    for names in shown_by():
        assert names
        for name in names:
            path, _, function = name.partition("::")
            known = function in functions_of(path) if function else name in CLAIMS
            missing += [] if known else [name]
    assert not missing


def test_every_hostile_song_has_its_measured_row():
    measured = re.findall(
        r"^\| `(\w+)` \|", (REPOSITORY / "docs" / "hostile.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(measured) == CLAIMS
