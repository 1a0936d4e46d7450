"""The code speaks the terms of docs/glossary.md, in plain English. Read from the sources."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "msaas"
GLOSSARY = ROOT / "docs" / "glossary.md"
OF_DEMUCS = {"BagOfModels"}

# Words of a private language, each with the usual one. No module, class, function, constant or parameter has one in its
# name; the names of tests, which are claims, may.
PRIVATE = {
    "cage": "sandbox",
    "warden": "process guard",
    "dial": "HTTP post",
    "dialled": "connected",
    "courier": "uploader",
    "bench": "model cache",
    "meters": "metrics",
    "insist": "retry",
    "bitten": "expired",
    "bite": "expire",
    "nonsense": "invalid answer",
    "patience": "timeout",
    "whereabouts": "location",
    "belongings": "objects",
    "bury": "clean up",
    "epitaph": "how it ended",
    "stranger": "unexpected",
    "doomed": "to delete",
    "outlet": "sink",
    "outline": "waveform",
    "outlines": "waveforms",
    "assembly": "stack parts",
    "lane": "parallel segment",
    "lanes": "parallel segments",
    "anyhow": "no limits",
    "courtesy": "grace period",
    "deepest": "max depth",
    "doom": "kill",
    "furthest": "max",
    "hopeless": "permanent failure",
    "insists": "retries",
    "mend": "repair",
    "mended": "repaired",
    "most": "max",
    "say": "send",
    "strange": "unexpected",
    "told": "reported",
    "trouble": "reason",
    "troubles": "reasons",
    "victim": "target",
}
# Turns of phrase that no prose in src uses, with what to write instead.
TURNS = {
    r"\bis no (?:body|song|songhash|folder|number|URL|object|answer|part|page)\b": "is not a …",
    r"\btold apart\b": "distinguished",
    r"\baway with it\b": "delete it",
    r"\bstrangers?'": "uploaded",
    r"\bpass(?:es)? by (?:itself|themselves)\b": "temporary; retry later",
    r"\bleads? (?:on|inside) to\b": "redirects",
    r"\bcannot be had\b": "is not available",
    r"\bto mend it\b": "to fix it",
    r"\bput right\b": "repaired",
    r"\banswer(?:s|ed)? nonsense\b": "invalid answer",
    r"\bwithout a word\b": "silently",
    r"\bthat there is not\b": "that does not exist",
    r"\bwhoever\b": "the caller, anyone who",
    r"\bhalf made\b": "partial",
    r"\bunheard of\b": "without a heartbeat",
}


def sources() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def names(*folders: str) -> Iterator[tuple[str, str]]:
    """(where, name) of each module, class, function, constant and parameter."""
    for path in (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))):
        where = str(path.relative_to(ROOT))
        yield where, path.stem
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield where, node.name
            elif isinstance(node, ast.arg):
                yield where, node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id.isupper():
                yield where, node.id


def words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def prose() -> Iterator[tuple[str, str]]:
    """(where, text) of each string and run of comments in Python, and of each Lua and JavaScript comment."""
    for path in sources():
        where, comment = str(path.relative_to(SRC)), ""
        for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
            if token.type == tokenize.COMMENT:
                comment += token.string.lstrip("#")
            elif token.type == tokenize.STRING:
                yield where, " ".join(token.string.split())
            elif token.type != tokenize.NL:
                yield where, " ".join(comment.split())
                comment = ""
    for path in [*SRC.rglob("*.lua"), *SRC.rglob("*.js")]:
        found = re.findall(r"(?:--|//|\*) (.*)", path.read_text("utf-8"))
        yield str(path.relative_to(SRC)), " ".join(found)


@cache
def all_prose() -> list[tuple[str, str]]:
    return list(prose())


@pytest.mark.parametrize("folder", ["src", "tests", "bench", "deploy"])
def test_names_are_of_the_usual_vocabulary(folder):
    found = [(where, name) for where, name in names(folder) if not name.startswith("test_")]
    assert not [(where, name) for where, name in found if words(name) & PRIVATE.keys()]


@pytest.mark.parametrize("turn", TURNS)
def test_prose_says_it_plainly(turn):
    pattern = re.compile(turn, re.IGNORECASE)
    found = [(where, match[0], TURNS[turn]) for where, text in all_prose() for match in pattern.finditer(text)]
    assert not found


def test_each_code_name_of_the_glossary_exists():
    known = OF_DEMUCS | {name for _, name in names("src")}
    text = "\n".join(path.read_text("utf-8") for path in [*sources(), *SRC.rglob("*.lua")])
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]*)\|$", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(listed) > 80
    missing = [name for name in listed if name not in known and not re.search(rf"\b{name}\b", text)]
    assert not missing
