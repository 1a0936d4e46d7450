"""Failpoints do what was armed, where it was armed, and nothing otherwise."""

from pathlib import Path

from msaas import failpoints

SRC = Path(__file__).parents[2] / "src" / "msaas"


def test_an_armed_point_acts_and_the_others_do_not():
    seen: list[str] = []
    failpoints.arm("here", lambda: seen.append("here"))
    failpoints.hit("there")
    failpoints.hit("here")
    failpoints.disarm()
    failpoints.hit("here")
    assert seen == ["here"]


def test_nothing_in_the_product_arms_one():
    arming = [p.name for p in SRC.rglob("*.py") if "failpoints.arm(" in p.read_text(encoding="utf-8")]
    assert arming == []
