"""OpenAPI 3.1 from the routes: `documented` attaches an Operation to a view, `document` collects them.

Paths, methods and path parameters come from the routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from werkzeug.routing import Rule

from msaas import __version__
from msaas.auth.access_control import gate_of
from msaas.auth.scopes import Requirement, requirement_of
from msaas.error_codes import PROBLEM_CODES
from msaas.web.http.problems import MEDIA_TYPE, phrase_of
from msaas.web.openapi.mix_schemas import MIX_SCHEMAS
from msaas.web.openapi.parts import ref
from msaas.web.openapi.schemas import SCHEMAS
from msaas.web.openapi.share_schemas import SHARE_SCHEMAS

View = TypeVar("View", bound=Callable[..., Any])
Spec = dict[str, Any]

_NOTE = "documented_as"
_ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
TAGS = {
    "songs": "Send a song and fetch its stems.",
    "uploads": "Send a large song in parts, and go on after a broken connection (tus 1.0).",
    "jobs": "Follow a song, or cancel it.",
    "store": "The queue and the buckets.",
    "service": "Health, metrics, models and this document.",
}
ABOUT = (
    "A song goes in over HTTP; its vocals, drums, bass and the rest come out as aligned tracks.\n\n"
    "Every call is idempotent: the same song with the same options is the same job.\n\n"
    "Errors are `application/problem+json` (RFC 9457) with a `code` for programs and a `detail` for people; 503 has a "
    "`Retry-After` header. An unsupported method gets 405 `method_not_allowed`, an unknown path 404 `not_found`. HEAD "
    "is supported wherever GET is.\n\n"
    "If keys are configured, all calls except the open ones require `Authorization: Bearer <key>`; never put a key in "
    "the URL. A key has access to its own songs only. `RateLimit` and `RateLimit-Policy` headers report the limits.\n\n"
    "Responses may have members that this document does not describe: ignore them."
)

PATH_PARAMETERS: dict[str, Spec] = {
    "songhash": {"schema": ref("Songhash")},
    "name": {
        "schema": {"type": "string", "examples": ["00000000-0000-5000-8000-000000000001-vocals"]},
        "description": "`<songhash>-<stem>`, with or without its extension",
    },
    "share": {
        "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        "description": "the `id` of the link",
    },
    "upload_id": {
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "description": "from the `Location` of the answer that created the upload",
    },
}


KEY = "key"
SECURITY_SCHEMES: dict[str, Spec] = {
    KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "Created by `msaas keys new`. Scopes: `read` (read the key's own songs), `use` (also send and "
        "remove them), `admin` (all calls, all songs).",
    }
}


@dataclass(frozen=True)
class Answer:
    """The response of one status. `content`: schema by media type, empty without a body. `headers`: meaning by name.

    `leads_to`: operation IDs that take its songhash.
    """

    description: str
    content: Mapping[str, Spec] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    leads_to: Sequence[str] = ()

    def to_spec(self) -> Spec:
        spec: Spec = {"description": self.description}
        if self.leads_to:
            of_song = {"songhash": "$response.body#/songhash"}
            spec["links"] = {call: {"operationId": call, "parameters": of_song} for call in self.leads_to}
        if self.content:
            spec["content"] = {kind: {"schema": schema} for kind, schema in self.content.items()}
        return spec | headers_spec(self.headers)


@dataclass(frozen=True)
class Operation:
    """The description of a view. `problems`: error codes by status."""

    summary: str
    tag: str
    description: str = ""
    answers: Mapping[int, Answer] = field(default_factory=dict)
    problems: Mapping[int, Sequence[str]] = field(default_factory=dict)
    parameters: Sequence[Spec] = ()
    body: Spec | None = None
    callbacks: Spec | None = None
    head: bool = False  # HEAD gets its own entry
    deprecated: Sequence[str] = ()  # routes kept for compatibility

    def to_spec(self, rule: Rule, need: Requirement, *, with_keys: bool) -> Spec:
        spec: Spec = {"operationId": rule.endpoint.rpartition(".")[2], "summary": self.summary, "tags": [self.tag]}
        if self.description:
            spec["description"] = self.description
        if parameters := [*path_parameters(rule), *self.parameters]:
            spec["parameters"] = parameters
        if self.body:
            spec["requestBody"] = self.body
        answers = {status: answer.to_spec() for status, answer in self.answers.items()}
        problems = with_gate(self.problems, need, about_a_song=bool(rule.arguments & {"songhash", "name"}))
        refusals = {status: problem_spec(status, codes) for status, codes in problems.items()}
        everything = answers | refusals | {500: problem_spec(500, ["internal_error"])}
        spec["responses"] = {str(status): everything[status] for status in sorted(everything)}
        if need.scope and not need.inside:
            spec["security"] = [{KEY: [need.scope]}] + ([] if with_keys else [{}])
        if self.callbacks:
            spec["callbacks"] = self.callbacks
        return spec | ({"deprecated": True} if rule.rule in self.deprecated else {})


def documented(summary: str, tag: str, **more: Any) -> Callable[[View], View]:
    """Use it below the route's decorator. `more`: other fields of Operation."""
    operation = Operation(summary, tag, **more)

    def note(view: View) -> View:
        setattr(view, _NOTE, operation)
        return view

    return note


def operations(app: Flask) -> Iterator[tuple[Rule, str, Operation]]:
    """Each documented route with its methods, in the order they were registered."""
    for rule in app.url_map.iter_rules():
        operation = getattr(app.view_functions[rule.endpoint], _NOTE, None)
        if isinstance(operation, Operation):
            undocumented = {"OPTIONS"} | (set() if operation.head else {"HEAD"})
            for method in sorted((rule.methods or set()) - undocumented):
                yield rule, method.lower(), operation


def document(app: Flask) -> Spec:
    paths: dict[str, Spec] = {}
    for rule, method, operation in operations(app):
        spec = operation.to_spec(rule, requirement_of(rule.endpoint), with_keys=gate_of(app).locked)
        paths.setdefault(openapi_path(rule), {})[method] = headless(spec) if method == "head" else spec
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MSaaS",
            "summary": "Music Separation as a Service",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {"schemas": SCHEMAS | MIX_SCHEMAS | SHARE_SCHEMAS, "securitySchemes": SECURITY_SCHEMES},
    }


# --- members of the document


def openapi_path(rule: Rule) -> str:
    return _ARGUMENT.sub(r"{\1}", rule.rule)


def path_parameters(rule: Rule) -> Iterator[Spec]:
    for name in _ARGUMENT.findall(rule.rule):
        yield {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}


def query(name: str, schema: Spec, description: str = "", **more: Any) -> Spec:
    return _parameter("query", name, schema, description) | more


def header(name: str, description: str, schema: Spec | None = None, **more: Any) -> Spec:
    return _parameter("header", name, schema or {"type": "string"}, description) | more


def _parameter(place: str, name: str, schema: Spec, description: str) -> Spec:
    return {"name": name, "in": place, "schema": schema} | ({"description": description} if description else {})


def headers_spec(headers: Mapping[str, str]) -> Spec:
    if not headers:
        return {}
    specs = {name: {"schema": {"type": "string"}, "description": text} for name, text in headers.items()}
    return {"headers": specs}


PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": "`Bearer`, and the error (RFC 6750)"},
    429: {"Retry-After": "seconds to wait before a retry", "RateLimit": "what is left of the limit"},
    503: {"Retry-After": "seconds to wait before a retry"},
}


def problem_spec(status: int, codes: Sequence[str]) -> Spec:
    """Raises KeyError for a code that is not in the catalogue."""
    meanings = "\n".join(f"- `{code}`: {PROBLEM_CODES[code]}" for code in codes)
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": list(codes)}}}
    spec: Spec = {
        "description": f"{phrase_of(status)}\n\n{meanings}",
        "content": {MEDIA_TYPE: {"schema": {"allOf": [ref("Problem"), narrowed]}}},
    }
    return spec | headers_spec(PROBLEM_HEADERS.get(status, {}))


def with_gate(
    problems: Mapping[int, Sequence[str]], need: Requirement, *, about_a_song: bool
) -> dict[int, Sequence[str]]:
    """Adds the errors of access control (msaas.auth.access_control), which runs before the view."""
    if not need.scope:
        return dict(problems)
    own: dict[int, list[str]] = {
        400: ["key_in_url"],
        401: ["key_missing", "key_unknown"],
        403: ["scope_missing"],
        429: ["rate_limited"],
        503: ["queue_unavailable"],
    } | ({404: ["job_unknown"]} if about_a_song else {})
    return {
        status: list(dict.fromkeys([*problems.get(status, ()), *own.get(status, ())]))
        for status in sorted({*problems, *own})
    }


def headless(spec: Spec) -> Spec:
    """The specification of HEAD from that of GET: the same headers, no body."""
    answers = {
        status: {name: value for name, value in answer.items() if name != "content"}
        for status, answer in spec["responses"].items()
    }
    return spec | {"operationId": f"head_{spec['operationId']}", "responses": answers}


def as_json(name: str) -> dict[str, Spec]:
    """The content of a JSON response with this schema."""
    return {"application/json": ref(name)}
