"""Reads the catalogue's files (TOML) into records and checks every field. Needs no torch and no PyYAML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from msaas.catalogue.records import (
    FAMILIES,
    LICENCES,
    NOT_STATED,
    SPEEDS,
    Catalogue,
    CatalogueError,
    Document,
    Entry,
    Licence,
    ModelFile,
    Score,
    Speed,
    Training,
)

DOCUMENTS = "documents"
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_FILE = re.compile(r"\w[\w.-]*")
_SHA256 = re.compile(r"[0-9a-f]{8,64}")
_STEM = re.compile(r"[a-z][a-z0-9_]{0,31}")  # as the loader names them, and a request's options


@cache
def catalogue() -> Catalogue:
    """The catalogue of this package."""
    folder = resources.files(__package__) / "models"
    files = {path.name.removesuffix(".toml"): path.read_text("utf-8") for path in folder.iterdir()}
    return read_catalogue(dict(sorted(files.items())))


def read_catalogue(files: Mapping[str, str]) -> Catalogue:
    """The catalogue in `files` (name without suffix ▸ TOML); `documents` has the documents. Raises CatalogueError."""
    documents = {
        name: Document(table.text("title"), table.text("url"))
        for name, table in _tables(DOCUMENTS, files.get(DOCUMENTS, ""))
    }
    entries: dict[str, Entry] = {}
    for file, text in files.items():
        for name, table in _tables(file, text) if file != DOCUMENTS else ():
            if name in entries:
                raise table.wrong("its name", "is in the catalogue twice")
            entries[name] = _entry(name, table)
    _check_documents(entries.values(), documents)
    by_family = sorted(entries.items(), key=lambda item: FAMILIES.index(item[1].family))
    return Catalogue(dict(by_family), documents)


class _Table:
    """A table of a file; its values are taken by kind, and `done` refuses what is left."""

    def __init__(self, place: str, values: Any) -> None:
        self.place = place
        if not isinstance(values, dict):
            raise self.wrong("", "is not a table")
        self.left = dict(values)

    def wrong(self, key: str, what: str) -> CatalogueError:
        return CatalogueError(f"{self.place}: {f'{key} ' if key else ''}{what}")

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None, *, required: bool = False) -> Any:
        value = self.left.pop(key, None)
        if value is None:
            if required:
                raise self.wrong(key, "is missing")
            return default
        if isinstance(value, bool) or not isinstance(value, kind):
            raise self.wrong(key, f"= {value!r} is of the wrong type")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        text = str(self.take(key, str, default, required=default is None))
        if default is None and not text.strip():
            raise self.wrong(key, "is empty")
        return text

    def one_of(self, key: str, allowed: Iterable[str]) -> str:
        return self._allowed(key, self.text(key), allowed)

    def maybe_one_of(self, key: str, allowed: Iterable[str]) -> str | None:
        value = self.take(key, str)
        return None if value is None else self._allowed(key, value, allowed)

    def _allowed(self, key: str, value: str, allowed: Iterable[str]) -> str:
        if value not in allowed:
            raise self.wrong(key, f"= {value!r} is none of {', '.join(allowed)}")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], default: str | None = None) -> str:
        text = self.text(key, default)
        if text != default and not pattern.fullmatch(text):
            raise self.wrong(key, f"= {text!r} does not match {pattern.pattern}")
        return text

    def texts(self, key: str, *, least: int = 1) -> tuple[str, ...]:
        values = self.take(key, list, [])
        if len(values) < least:
            raise self.wrong(key, "is missing or empty")
        if not all(isinstance(value, str) and value for value in values) or len(set(values)) != len(values):
            raise self.wrong(key, "is not a list of different texts")
        return tuple(values)

    def tables(self, key: str) -> list[_Table]:
        return [_Table(f"{self.place}.{key}[{n}]", one) for n, one in enumerate(self.take(key, list, []))]

    def table(self, key: str) -> _Table | None:
        value = self.take(key, dict)
        return None if value is None else _Table(f"{self.place}.{key}", value)

    def needed(self, key: str) -> _Table:
        return _Table(f"{self.place}.{key}", self.take(key, dict, required=True))

    def done(self, made: Any) -> Any:
        if self.left:
            raise self.wrong("", f"has unknown fields: {', '.join(sorted(self.left))}")
        return made


def _tables(file: str, text: str) -> list[tuple[str, _Table]]:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{file}.toml: {error}") from error
    return [(name, _Table(f"{file}.toml: {name}", values)) for name, values in content.items()]


def _entry(name: str, table: _Table) -> Entry:
    if not _NAME.fullmatch(name):
        raise table.wrong("its name", f"does not match {_NAME.pattern}")
    entry = Entry(
        name=name,
        family=table.one_of("family", FAMILIES),
        summary=_sentence(table),
        sources=_stems(table, "sources", least=2),
        refines=_stems(table, "refines", least=0),
        sample_rate=int(table.take("sample_rate", int, required=True)),
        source=table.texts("source"),
        weights=tuple(_file(one) for one in table.tables("weights")),
        licence=_licence(table.needed("licence")),
        training=_training(table.needed("training")),
        config=_file(config) if (config := table.table("config")) else None,
        sdr=tuple(_score(one) for one in table.tables("sdr")),
        speed=_speed(table.table("speed")),
        note=table.text("note", ""),
    )
    if not entry.weights:
        raise table.wrong("weights", "is missing")
    if (entry.config is None) != (entry.family == "demucs"):
        raise table.wrong("config", "belongs to every family but demucs, whose files describe themselves")
    return table.done(entry)  # type: ignore[no-any-return]


def _sentence(table: _Table) -> str:
    text = table.text("summary")
    if not text.endswith(".") or len(text) > 120:
        raise table.wrong("summary", "is not one sentence of at most 120 letters that ends with a full stop")
    return text


def _stems(table: _Table, key: str, *, least: int) -> tuple[str, ...]:
    stems = table.texts(key, least=least)
    if not all(_STEM.fullmatch(stem) for stem in stems):
        raise table.wrong(key, f"has a name that does not match {_STEM.pattern}")
    return stems


def _file(table: _Table) -> ModelFile:
    file = ModelFile(
        file=table.matching("file", _FILE),
        urls=table.texts("urls", least=0),
        source=table.texts("source"),
        bytes=table.take("bytes", int),
        sha256=table.matching("sha256", _SHA256, ""),
    )
    if not all(url.startswith("https://") for url in file.urls):
        raise table.wrong("urls", "has a URL that is not https")
    if file.bytes is not None and file.bytes <= 0:
        raise table.wrong("bytes", "is not positive")
    return table.done(file)  # type: ignore[no-any-return]


def _licence(table: _Table) -> Licence:
    return table.done(  # type: ignore[no-any-return]
        Licence(
            id=table.one_of("id", (*LICENCES, NOT_STATED)),
            statement=table.text("statement"),
            note=table.text("note", ""),
            source=table.texts("source"),
        )
    )


def _training(table: _Table) -> Training:
    return table.done(Training(table.texts("source"), table.take("by", str), table.take("data", str)))  # type: ignore[no-any-return]


def _score(table: _Table) -> Score:
    stems = table.take("stems", dict, {})
    mean = table.take("mean", (int, float))
    if not all(isinstance(value, int | float) for value in stems.values()):
        raise table.wrong("stems", "has a value that is not a number")
    if mean is None and not stems:
        raise table.wrong("", "has neither mean nor stems")
    numbers = {str(stem): float(value) for stem, value in stems.items()}
    score = Score(table.text("benchmark"), table.texts("source"), None if mean is None else float(mean), numbers)
    return table.done(score)  # type: ignore[no-any-return]


def _speed(table: _Table | None) -> Speed:
    if table is None:
        return Speed(())
    speed = Speed(table.texts("source"), table.maybe_one_of("cpu", SPEEDS), table.maybe_one_of("gpu", SPEEDS))
    return table.done(speed)  # type: ignore[no-any-return]


def _check_documents(entries: Iterable[Entry], documents: Mapping[str, Document]) -> None:
    named = {(entry.name, document) for entry in entries for document in entry.documents()}
    for name, document in sorted(named):
        if document not in documents:
            raise CatalogueError(f"{name}: the document {document!r} is not in {DOCUMENTS}.toml")
    unused = documents.keys() - {document for _, document in named}
    if unused:
        raise CatalogueError(f"{DOCUMENTS}.toml: no entry names {', '.join(sorted(unused))}")
