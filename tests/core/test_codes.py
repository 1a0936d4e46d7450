"""One catalogue of codes: whatever the code raises, documents or translates is held against it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from msaas.error_codes import CLIENT_CODES, JOB_CODES, PROBLEM_CODES, WAIT_CODES, WARNING_CODES
from msaas.web.openapi.schemas import SCHEMAS
from tests.support.environment import REPOSITORY

SOURCES = REPOSITORY / "src/msaas"
WORDS = SOURCES / "web/static/js/common/words.js"
DOCS = REPOSITORY / "docs/codes.md"
CATALOGUE = {**PROBLEM_CODES, **JOB_CODES, **WAIT_CODES, **WARNING_CODES, **CLIENT_CODES}
# the page's words for a song's options stand beside each option; here the server's own detail says which is wrong
WORDLESS = {"invalid_option"}
# written by the status' own name (msaas.web.http.problems) or put together (msaas.client.errors.JobFailed)
REFUSALS = ("Refused", "Exceeded", "problem")  # how what takes a code as a bare argument is called
COMPOSED = {"method_not_allowed", "requested_range_not_satisfiable", "job_failed", "job_cancelled"}


def is_code(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", value) is not None


def written_in(path: Path) -> Iterator[str]:
    """Texts that stand where a code does: `code = "…"`, `code="…"`, `{"code": "…"}`, an argument of a refusal."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                yield code
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
                yield code
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                        yield str(value.value)
            case ast.Call(func=ast.Name(id=name), args=args) if name == "cls" or name.endswith(REFUSALS):
                yield from (arg.value for arg in args if isinstance(arg, ast.Constant) and is_code(arg.value))
            case ast.arguments(args=args, defaults=defaults):
                for arg, default in zip(args[len(args) - len(defaults) :], defaults, strict=True):
                    if arg.arg == "code" and isinstance(default, ast.Constant):
                        yield str(default.value)


def all_written() -> set[str]:
    return {code for path in SOURCES.rglob("*.py") for code in written_in(path)} - {""}


def test_every_code_in_the_source_is_in_the_catalogue_and_every_code_of_the_catalogue_in_the_source():
    assert all_written() == CATALOGUE.keys() - COMPOSED


def test_what_a_worker_says_of_a_job_is_a_job_code():
    files = ["queue/queue.py", "worker/supervisor.py", "worker/child.py", "worker/process.py", "storage/storage.py"]
    assert {code for file in files for code in written_in(SOURCES / file)} <= JOB_CODES.keys()


def test_openapi_has_exactly_these_codes():
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == list(PROBLEM_CODES)
    assert SCHEMAS["JobError"]["properties"]["code"]["enum"] == list(JOB_CODES)
    assert SCHEMAS["WaitingFor"]["properties"]["code"]["enum"] == list(WAIT_CODES)
    assert SCHEMAS["JobWarning"]["properties"]["code"]["enum"] == list(WARNING_CODES)


def keys_of(table: str) -> set[str]:
    text = WORDS.read_text().partition(f"const {table} = {{")[2].partition("\n};")[0]
    return set(re.findall(r"^  (\w+): ", text, re.MULTILINE))


def test_the_page_translates_every_reason_of_a_failed_job_and_no_code_that_there_is_not():
    translated = keys_of("PLAIN")
    assert translated <= CATALOGUE.keys()
    assert JOB_CODES.keys() - WORDLESS <= translated
    assert keys_of("WAITS") == WAIT_CODES.keys()


def test_the_pages_own_codes_are_in_the_catalogue():
    scripts = (SOURCES / "web/static/js").rglob("*.js")
    named = {code for path in scripts for code in re.findall(r'\bcode(?:: | = | === )"(\w+)"', path.read_text())}
    assert named
    assert named <= CATALOGUE.keys()


def test_the_docs_list_every_code_with_its_meaning():
    tables = re.split(r"^## .*$", DOCS.read_text(), flags=re.MULTILINE)[1:]
    listed = [dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", table, re.MULTILINE)) for table in tables]
    assert listed == [PROBLEM_CODES, JOB_CODES, WAIT_CODES, WARNING_CODES, CLIENT_CODES]


def test_the_command_line_tells_no_code_that_there_is_not():
    from msaas.cli import USAGE_ERRORS

    assert CATALOGUE.keys() >= USAGE_ERRORS
