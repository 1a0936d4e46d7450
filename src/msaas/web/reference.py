"""The API described: openapi.json for programs, a page for people, both the same document. Needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, render_template
from markupsafe import Markup, escape

from msaas.web.openapi import Answer, Spec, document, documented

calls = Blueprint("reference", __name__)

_CODE = re.compile(r"`([^`]+)`")


@calls.get("/apiv1/openapi.json")
@documented("This document", "service", answers={200: Answer("OpenAPI 3.1", {"application/json": {"type": "object"}})})
def openapi_json() -> Response:
    # not jsonify, which sorts: the calls stand in the order in which one gets to know them
    return Response(json.dumps(document(current_app), ensure_ascii=False), mimetype="application/json")


@calls.get("/apiv1/docs")
@documented("This document, to read", "service", answers={200: Answer("A page", {"text/html": {"type": "string"}})})
def docs() -> Response:
    spec = document(current_app)
    style = _style()
    shown = {"groups": list(groups(spec)), "style": Markup(style), "as_text": as_text, "prose": prose}  # noqa: S704 - ours
    response = Response(render_template("reference.html", spec=spec, **shown), mimetype="text/html")
    response.headers["Content-Security-Policy"] = policy(style)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@cache
def _style() -> str:
    return (Path(__file__).parent / "templates" / "reference.css").read_text(encoding="utf-8")


def policy(style: str) -> str:
    """The style by its hash, and nothing else: no script, no picture, no other address."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def groups(spec: Spec) -> Iterator[tuple[Spec, list[tuple[str, str, Spec]]]]:
    """Each tag with its calls: (method, path, operation)."""
    for tag in spec["tags"]:
        found = [
            (method.upper(), path, operation)
            for path, methods in spec["paths"].items()
            for method, operation in methods.items()
            if tag["name"] in operation["tags"] and method != "head"
        ]
        yield tag, found


def prose(text: str) -> Markup:
    """Text with `code` in it, the one mark that our descriptions use."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def as_text(schema: Any) -> Markup:
    """A schema as JSON; the name of another schema in it is a link to that one."""
    text = str(escape(json.dumps(schema, indent=2, ensure_ascii=False)))
    quoted = str(escape('"'))
    begin = f"{quoted}$ref{quoted}: {quoted}#/components/schemas/"
    pieces = text.split(begin)
    linked = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition(quoted)
        linked.append(f'<a href="#schema-{name}">{name}</a>{rest}')
    return Markup("".join(linked))  # noqa: S704 - escaped above; names are our own
