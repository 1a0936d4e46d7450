"""Writes a merged object as a Helm template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import yaml

from deploy.tools.chart.merge import ABSENT, Choice, Fields, Node, Removed, Same, Value

Path = tuple[str, ...]
OPTIONAL = "{{/* left out if empty */}}"  # begins the expression of a value without which its key is left out
# What the operator may set: the template's expression for a value at a path, and None for what is written as it is.
Override = Callable[[Path, Value], str | None]


class Template:
    """Lines of one object's template.

    conditions: a component's condition as a Helm pipeline. override: see Override.
    """

    def __init__(self, conditions: Mapping[str, str], override: Override) -> None:
        self._conditions, self._override = conditions, override

    def render(self, node: Node) -> str:
        return "".join(f"{line}\n" for line in self._block((), node, 0))

    def _entry(self, head: str, path: Path, node: Node, indent: int) -> Iterator[str]:
        """`head` is `key:` or `-`."""
        if isinstance(node, Choice | Removed):
            yield from self._conditional(node, lambda inner: self._entry(head, path, inner, indent))
            return
        pad = " " * indent
        if isinstance(node, Same) and not (isinstance(node.value, dict | list) and node.value):
            text = self._scalar(path, node.value, indent)
            yield from _unless_null(f"{pad}{head}", text) if text.startswith(OPTIONAL) else [f"{pad}{head} {text}"]
            return
        deeper = indent if head != "-" and _is_list(node) else indent + 2
        lines = list(self._block(path, node, deeper))
        if head == "-" and not lines[0].startswith("{{"):
            yield f"{pad}- {lines.pop(0).lstrip()}"
        else:
            yield f"{pad}{head}"
        yield from lines

    def _block(self, path: Path, node: Node, indent: int) -> Iterator[str]:
        if isinstance(node, Choice | Removed):
            yield from self._conditional(node, lambda inner: self._block(path, inner, indent))
            return
        for key, child in _children(node):
            head = "-" if _is_list(node) else f"{key}:"
            yield from self._entry(head, (*path, key), child, indent)

    def _conditional(self, node: Choice | Removed, lines_of: Callable[[Node], Iterator[str]]) -> Iterator[str]:
        if isinstance(node, Removed):
            yield f"{{{{- if not ({self._any(node.by)}) }}}}"
            yield from lines_of(node.node)
        else:
            yield from self._cases(node, lines_of)
        yield "{{- end }}"

    def _cases(self, choice: Choice, lines_of: Callable[[Node], Iterator[str]]) -> Iterator[str]:
        word = "if"
        for names, value in reversed(_grouped(choice.cases)):
            yield f"{{{{- {word} {self._any(names)} }}}}"
            yield from lines_of(Same(value))
            word = "else if"
        if choice.base is not ABSENT:
            yield "{{- else }}"
            yield from lines_of(Same(choice.base))

    def _any(self, names: Sequence[str]) -> str:
        conditions = [self._conditions[name] for name in names]
        return conditions[0] if len(conditions) == 1 else f"or ({') ('.join(conditions)})"

    def _scalar(self, path: Path, value: Value, indent: int) -> str:
        return self._override(path, value) or literal(value, indent)


def _unless_null(head: str, text: str) -> list[str]:
    """A null would do for a client, but Helm 4 applies on the server, where it asks for the field to be removed."""
    expression = text.removeprefix(OPTIONAL).removeprefix("{{").removesuffix("}}")
    return [f"{{{{- with {expression.strip()} }}}}", f"{head} {{{{ . }}}}", "{{- end }}"]


def literal(value: Value, indent: int = 0) -> str:
    """A value as YAML, behind its key; `indent`: of the line with the key."""
    if not isinstance(value, str) or "\n" not in value:
        text = yaml.safe_dump(value, width=float("inf"), default_flow_style=True, allow_unicode=True)
        return escaped(text.removesuffix("\n").removesuffix("\n..."))
    text = value.removesuffix("\n")
    if text[0].isspace() or text[-1] == "\n":
        return escaped(json.dumps(value))
    pad = " " * (indent + 2)
    lines = [pad + line if line else "" for line in escaped(text).split("\n")]
    return "\n".join(["|-" if text == value else "|", *lines])


def escaped(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')


def _is_list(node: Node) -> bool:
    return node.is_list if isinstance(node, Fields) else isinstance(getattr(node, "value", None), list)


def _children(node: Same | Fields) -> list[tuple[str, Node]]:
    if isinstance(node, Fields):
        return list(node.entries)
    if isinstance(node.value, list):
        return [(_name_of(element, index), Same(element)) for index, element in enumerate(node.value)]
    return [(key, Same(value)) for key, value in node.value.items()]


def _name_of(element: Value, index: int) -> str:
    return str(element.get("name", index)) if isinstance(element, dict) else str(index)


def _grouped(cases: tuple[tuple[str, Value], ...]) -> list[tuple[list[str], Value]]:
    """Neighbours with one value together."""
    groups: list[tuple[list[str], Value]] = []
    for name, value in cases:
        if groups and groups[-1][1] == value:
            groups[-1][0].append(name)
        else:
            groups.append(([name], value))
    return groups
