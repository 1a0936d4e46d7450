"""Serves the OpenAPI document as openapi.json and as an HTML page, which needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, render_template, request
from markupsafe import Markup, escape

from msaas.error_codes import PROBLEM_CODES
from msaas.web.http.problems import MEDIA_TYPE
from msaas.web.openapi.document import PROBLEM_HEADERS, Answer, Spec, document, documented

calls = Blueprint("reference", __name__)

_CODE = re.compile(r"`([^`]+)`")


@calls.get("/apiv1/openapi.json")
@documented("This document", "service", answers={200: Answer("OpenAPI 3.1", {"application/json": {"type": "object"}})})
def openapi_json() -> Response:
    # not jsonify, which would sort the calls
    return Response(json.dumps(document(current_app), ensure_ascii=False), mimetype="application/json")


@calls.get("/apiv1/docs")
@documented("This document as a page", "service", answers={200: Answer("A page", {"text/html": {"type": "string"}})})
def docs() -> Response:
    spec = document(current_app)
    style = _style()
    shown = {"groups": groups(spec), "errors": list(error_table(spec)), "error_headers": _error_headers()}
    tools = {"style": Markup(style), "as_text": as_text, "prose": prose}  # noqa: S704 - ours
    response = Response(render_template("reference.html", spec=spec, **shown, **tools), mimetype="text/html")
    response.headers["Content-Security-Policy"] = policy(style)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _error_headers() -> dict[int, dict[str, str]]:
    return {status: dict(headers) for status, headers in PROBLEM_HEADERS.items()}


@cache
def _style() -> str:
    return (Path(__file__).parents[1] / "templates" / "reference.css").read_text(encoding="utf-8")


def policy(style: str) -> str:
    """Allows the style by its hash and nothing else: no script, image or other URL."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


# --- content of the page


@dataclass(frozen=True)
class Call:
    """One call. `answers`: responses without an error. `errors`: by status, the codes that most calls lack."""

    method: str
    path: str
    spec: Spec
    answers: list[tuple[str, Spec]]
    errors: list[tuple[str, list[str]]]

    @property
    def id(self) -> str:
        return str(self.spec["operationId"])

    @property
    def summary(self) -> str:
        return str(self.spec["summary"])

    @property
    def curl(self) -> str:
        return curl_example(self.method, self.path, self.spec)


@dataclass(frozen=True)
class Group:
    tag: Spec
    calls: list[Call]


@dataclass(frozen=True)
class Error:
    """A code and its meaning. `shared`: most calls have it."""

    status: str
    code: str
    meaning: str
    shared: bool


def groups(spec: Spec) -> list[Group]:
    """The calls by tag in the document's order, without HEAD."""
    shared = shared_codes(spec)
    return [
        Group(tag, [_call(*one, shared) for one in _operations(spec) if tag["name"] in one[2]["tags"]])
        for tag in spec["tags"]
    ]


def _operations(spec: Spec) -> Iterator[tuple[str, str, Spec]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            if method != "head":
                yield method.upper(), path, operation


def _call(method: str, path: str, operation: Spec, shared: Set[str]) -> Call:
    answers = [(status, answer) for status, answer in operation["responses"].items() if not _codes(answer)]
    own = [
        (status, [code for code in _codes(answer) if code not in shared])
        for status, answer in operation["responses"].items()
    ]
    return Call(method, path, operation, answers, [(status, codes) for status, codes in own if codes])


def _codes(answer: Spec) -> list[str]:
    """The codes of an error response (document.problem_spec); empty for other responses."""
    problem = answer.get("content", {}).get(MEDIA_TYPE)
    return list(problem["schema"]["allOf"][1]["properties"]["code"]["enum"]) if problem else []


def _codes_by_call(spec: Spec) -> list[list[tuple[str, str]]]:
    """The errors of each call as (status, code)."""
    return [
        [(status, code) for status, answer in operation["responses"].items() for code in _codes(answer)]
        for _, _, operation in _operations(spec)
    ]


def shared_codes(spec: Spec) -> Set[str]:
    """The codes that more than half of the calls have."""
    calls = _codes_by_call(spec)
    counts = Counter(code for call in calls for code in {code for _, code in call})
    return {code for code, count in counts.items() if 2 * count > len(calls)}


def error_table(spec: Spec) -> Iterator[Error]:
    shared = shared_codes(spec)
    for status, code in sorted({error for call in _codes_by_call(spec) for error in call}):
        yield Error(status, code, PROBLEM_CODES[code], code in shared)


EXAMPLES = {"songhash": "$SONGHASH", "name": "$SONGHASH-vocals", "upload_id": "$UPLOAD", "share": "$SHARE"}
_JSON = """printf '{{"mp3": "%s"}}' "$(base64 -w0 song.mp3)" |
  {base} -H 'Content-Type: application/json' -d @-"""


def curl_example(method: str, path: str, operation: Spec) -> str:
    """curl commands for this service, by the address that the page was requested at, one per kind of body."""
    for name, value in EXAMPLES.items():
        path = path.replace(f"{{{name}}}", value)
    needs_key = "security" in operation and {} not in operation["security"]
    key = ' -H "Authorization: Bearer $MSAAS_API_KEY"' if needs_key else ""
    kinds = operation.get("requestBody", {}).get("content", {})
    verb = "" if method == "GET" or (method == "POST" and kinds) else f" -X {method}"  # curl uses POST for a body
    base = f"curl{verb}{key}{_required_headers(operation)} {request.host_url.rstrip('/')}{path}"
    if not kinds:
        return base
    if set(kinds) == {"application/json"}:
        body = json.dumps(kinds["application/json"].get("example", {}))
        return f"{base} -H 'Content-Type: application/json' -d '{body}'"
    if "application/json" not in kinds:
        return f"{base} -H 'Content-Type: {next(iter(kinds))}' --data-binary @song.mp3"
    raw = f"{base} -H 'Content-Type: audio/mpeg' --data-binary @song.mp3"
    return "\n".join([raw, f"{base} -F file=@song.mp3", _JSON.format(base=base)])


def _required_headers(operation: Spec) -> str:
    required = [one for one in operation.get("parameters", ()) if one["in"] == "header" and one.get("required")]
    return "".join(f" -H '{one['name']}: {one['schema'].get('const') or one['example']}'" for one in required)


# --- text as markup


def prose(text: str, *, block: bool = True) -> Markup:
    """Renders `code` and lists (lines that start with a dash), the only markup in our descriptions.

    block: paragraphs and lists, else inline text.
    """
    if not block:
        return _inline(text)
    return Markup("").join(map(_block, text.split("\n\n"))) if text else Markup("")


def _block(text: str) -> Markup:
    lines = text.split("\n")
    if all(line.startswith("- ") for line in lines):
        items = Markup("").join(Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
        return Markup("<ul>{}</ul>").format(items)
    return Markup("<p>{}</p>").format(_inline(text))


def _inline(text: str) -> Markup:
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def as_text(schema: Any) -> Markup:
    """A schema as JSON, with links to the schemas that it refers to."""
    text = str(escape(json.dumps(schema, indent=2, ensure_ascii=False)))
    quoted = str(escape('"'))
    begin = f"{quoted}$ref{quoted}: {quoted}#/components/schemas/"
    pieces = text.split(begin)
    linked = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition(quoted)
        linked.append(f'<a href="#schema-{name}">{name}</a>{rest}')
    return Markup("".join(linked))  # noqa: S704 - escaped above; names are our own
