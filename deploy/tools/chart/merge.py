"""Joins an object and its variants, one a component, into one tree that says which component brings what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Value = Any  # as YAML has it: mappings, lists, strings, numbers, booleans

# What identifies an element of a list, the first that every element has and no two share.
LIST_KEYS = ("mountPath", "name", "port", "key")


class Absent:
    """Stands for a value that is not there."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent()


@dataclass(frozen=True)
class Same:
    """A value that no component changes."""

    value: Value


@dataclass(frozen=True)
class Choice:
    """A value for each component that changes it, and the base's. The last component that is chosen wins."""

    cases: tuple[tuple[str, Value], ...]
    base: Value


@dataclass(frozen=True)
class Removed:
    """What is there unless one of these components is chosen."""

    by: tuple[str, ...]
    node: Node


@dataclass(frozen=True)
class Fields:
    """A mapping, or a list whose elements have keys, that components change in parts."""

    entries: tuple[tuple[str, Node], ...]
    is_list: bool = False


Node = Same | Choice | Removed | Fields


def merged(base: Value, variants: Mapping[str, Value]) -> Node:
    """variants: the same object as each component renders it, in the order in which components are applied."""
    changed = {name: variant for name, variant in variants.items() if variant != base}
    if not changed:
        return Same(base)
    if removed := tuple(name for name, variant in changed.items() if variant is ABSENT):
        return Removed(removed, merged(base, {name: changed[name] for name in changed if name not in removed}))
    every = [base, *changed.values()]
    if all(isinstance(value, dict) for value in every):
        return Fields(_entries(base, changed))
    if key := _list_key(every):
        by_key = {name: _by_key(variant, key) for name, variant in changed.items()}
        return Fields(_entries(_by_key(base, key), by_key), is_list=True)
    return Choice(tuple(changed.items()), base)


def _entries(base: dict[str, Value], variants: dict[str, dict[str, Value]]) -> tuple[tuple[str, Node], ...]:
    return tuple(
        (key, merged(base.get(key, ABSENT), {name: value.get(key, ABSENT) for name, value in variants.items()}))
        for key in _order([base, *variants.values()])
    )


def _order(mappings: Iterable[Mapping[str, Value]]) -> list[str]:
    """All keys: each new one behind the one that it follows."""
    order: list[str] = []
    for mapping in mappings:
        place = 0
        for key in mapping:
            if key in order:
                place = order.index(key) + 1
            else:
                order.insert(place, key)
                place += 1
    return order


def _list_key(values: list[Value]) -> str | None:
    if not all(isinstance(value, list) for value in values):
        return None
    return next((key for key in LIST_KEYS if all(_identifies(key, value) for value in values)), None)


def _identifies(key: str, elements: list[Value]) -> bool:
    found = [element.get(key) for element in elements if isinstance(element, dict)]
    return len(found) == len(elements) and None not in found and len(set(found)) == len(found)


def _by_key(elements: list[Value], key: str) -> dict[str, Value]:
    return {str(element[key]): element for element in elements}
