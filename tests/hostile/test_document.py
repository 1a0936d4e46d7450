"""docs/security.md names tests, and each of them exists; docs/hostile.md has every hostile song."""

from __future__ import annotations

import ast
import re

from tests.hostile.table import ROWS
from tests.support.environment import REPOSITORY

CLAIMS = {row.claim for row in ROWS}


def tables(header: str) -> list[list[str]]:
    """The rows of all tables of docs/security.md with this header."""
    text = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
    found = re.findall(rf"^{re.escape(header)}\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for rows in found for row in rows.splitlines()]


def named_tests() -> dict[str, list[str]]:
    return {threat: re.findall(r"`([^`]+)`", tests) for threat, tests in tables("| threat | tests |")}


def functions_of(path: str) -> set[str]:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_threat_names_tests_and_each_of_them_exists():
    named = named_tests()
    assert len(named) > 25
    assert list(named) == [threat for threat, _ in tables("| threat | defence |")]
    missing = []
    for names in named.values():
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
