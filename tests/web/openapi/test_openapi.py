"""openapi.json against the routes it describes: nothing left out, nothing made up, and real answers fit it."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import numpy as np
import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as limits
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from markupsafe import escape
from openapi_spec_validator import validate

from msaas import errors
from msaas.audio.waveform import Waveforms
from msaas.callbacks.payload import payload
from msaas.error_codes import PROBLEM_CODES
from msaas.jobs import Job
from msaas.web.openapi.document import document
from msaas.web.openapi.reference import as_text, error_table, prose, shared_codes
from tests.support import generated  # noqa: F401 - registers a kind of body
from tests.support.api import STEMS, URL, as_base64, song_bytes
from tests.support.environment import REPOSITORY

HASH = "00000000-0000-5000-8000-000000000001"
# the page and its files are no calls
NO_CALLS = ("/", "/service-worker.js", "/static/")


@pytest.fixture
def app(make_app) -> Flask:
    return make_app(debug_endpoints=True)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def spec(app: Flask) -> dict[str, Any]:
    return document(app)


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, call) for path, methods in spec["paths"].items() for method, call in methods.items()]


def check(spec: dict[str, Any], schema: dict[str, Any], answer: Any) -> None:
    Draft202012Validator(
        {**schema, "components": spec["components"]}, format_checker=Draft202012Validator.FORMAT_CHECKER
    ).validate(answer)


def named(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return spec["components"]["schemas"][name]


# --- the document and the routes


def test_the_document_is_valid_openapi_3_1(client):
    answer = client.get("/apiv1/openapi.json")
    assert answer.mimetype == "application/json"
    assert answer.json["openapi"].startswith("3.1")
    validate(answer.json)


def test_every_route_is_documented_and_every_documented_call_is_a_route(app, spec):
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not (rule.rule in NO_CALLS or rule.rule.startswith(NO_CALLS[-1]))
    }
    assert {(path, method) for path, method, _ in operations(spec) if method != "head"} == routes


def test_the_index_has_every_documented_call_once(client, spec):
    """HEAD only where there is no GET; no call that is kept for old clients."""
    documented = {
        f"{method.upper()} {path}".replace("{", "<").replace("}", ">").replace("<name>", "<songhash>-<stem>")
        for path, method, call in operations(spec)
        if not call.get("deprecated") and not (method == "head" and "get" in spec["paths"][path])
    }
    for path in ("/", "/apiv1"):
        assert sorted(client.get(path).json["calls"].values()) == sorted(documented)


def test_every_parameter_of_a_path_is_described_and_no_other(spec):
    for path, _method, call in operations(spec):
        described = [one["name"] for one in call.get("parameters", ()) if one["in"] == "path"]
        assert described == re.findall(r"\{(\w+)\}", path)


def test_operation_ids_are_unique_and_tags_are_explained(spec):
    ids = [call["operationId"] for *_, call in operations(spec)]
    assert len(ids) == len(set(ids))
    assert {tag for *_, call in operations(spec) for tag in call["tags"]} <= {tag["name"] for tag in spec["tags"]}


def test_every_call_tells_of_its_problems_as_problem_details(spec):
    for path, method, call in operations(spec):
        assert "500" in call["responses"], path
        for status, answer in call["responses"].items():
            if int(status) >= 400 and method != "head":
                assert list(answer["content"]) == ["application/problem+json"], (path, status)
            if status == "503":
                assert "Retry-After" in answer["headers"], path


def test_every_code_that_a_caller_may_meet_is_explained():
    def codes(of: type[errors.MSaaSError]) -> set[str]:
        own = set() if of is errors.NotFound else {of.code}  # its codes are given where it is raised
        return own.union(
            *(codes(narrower) for narrower in of.__subclasses__() if narrower.__module__ == "msaas.errors")
        )

    sources = [*(REPOSITORY / "src/msaas/web").glob("*.py"), REPOSITORY / "src/msaas/jobs.py"]
    raised = {code for path in sources for code in re.findall(r'code="(\w+)"', path.read_text())}
    assert codes(errors.RequestError) | codes(errors.Unavailable) | raised <= set(PROBLEM_CODES)


def test_every_code_belongs_to_a_call_or_to_all_of_them(spec):
    everywhere = {"not_found", "method_not_allowed", "unavailable", "object_missing"}
    everywhere |= {"headers_too_late", "headers_too_large", "uri_too_long"}
    found = set(re.findall(r"- `(\w+)`: ", str(spec["paths"])))
    assert set(PROBLEM_CODES) - found == everywhere


# --- real answers


def test_real_jobs_fit_the_schema_in_every_state_and_have_no_member_that_it_does_not_name(
    spec, client, queue, player, done
):
    waiting, running, failed = (
        client.post(URL, data=song_bytes(hertz=hertz), content_type="audio/wav").json["songhash"] for hertz in (1, 2, 3)
    )
    seen = {}
    for songhash in (done, waiting):
        seen[songhash] = client.get(f"/apiv1/jobs/{songhash}").json
    assert queue.renew(queue.claim("w"), {"stage": "separating", "progress": "0.5"})
    assert queue.claim("w")
    queue.fail(queue.claim("w"), {"code": "not_audio", "detail": "it holds no sound"}, retry=False)
    for songhash in (waiting, running, failed):
        seen[songhash, "later"] = client.get(f"/apiv1/jobs/{songhash}").json
    seen["cancelled"] = client.delete(f"/apiv1/jobs/{running}").json
    assert {"done", "queued", "running", "failed"} <= {job["state"] for job in seen.values()}
    for job in seen.values():
        check(spec, named(spec, "Job"), job)
        assert job.keys() <= named(spec, "Job")["properties"].keys()


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        ("/apiv1/queue", "Queue"),
        ("/apiv1/bucket", "Buckets"),
        ("/apiv1/models", "Offer"),
        ("/apiv1", "Index"),
        ("/healthz", "Status"),
        ("/readyz", "Readiness"),
    ],
)
def test_real_lists_fit_their_schemas_and_have_no_member_that_they_do_not_name(path, schema, spec, client, done):
    client.post(URL, data=song_bytes(hertz=1), content_type="audio/wav")
    answer = client.get(path).json
    check(spec, named(spec, schema), answer)
    if schema not in ("Status",):  # each part that is asked is a member there
        assert answer.keys() <= named(spec, schema)["properties"].keys()


def test_what_a_song_is_accepted_with_fits_the_body_schemas(spec, client, song):
    body = {"mp3": as_base64(song), "stems": ["vocals"], "format": "flac", "callback": {"url": "https://example.org/"}}
    check(spec, spec["paths"][URL]["post"]["requestBody"]["content"]["application/json"]["schema"], body)
    answer = client.post(URL, json=body)
    assert answer.status_code == 202
    check(spec, named(spec, "Accepted"), answer.json)


@pytest.mark.parametrize(
    ("method", "path", "route", "body"),
    [
        ("get", f"/apiv1/jobs/{HASH}", "/apiv1/jobs/{songhash}", {}),
        ("delete", "/apiv1/jobs/no-songhash", "/apiv1/jobs/{songhash}", {}),
        ("get", f"/apiv1/jobs/{HASH}/events", "/apiv1/jobs/{songhash}/events", {}),
        ("get", f"/apiv1/jobs/{HASH}/stems.zip", "/apiv1/jobs/{songhash}/stems.zip", {}),
        ("get", f"/apiv1/track/{HASH}-vocals", "/apiv1/track/{name}", {}),
        ("delete", "/apiv1/remove/nothing", "/apiv1/remove/{name}", {}),
        ("get", "/apiv1/queue?limit=0", "/apiv1/queue", {}),
        ("get", "/apiv1/bucket?limit=many", "/apiv1/bucket", {}),
        ("delete", "/apiv1/contents", "/apiv1/contents", {"headers": {"Origin": "https://elsewhere.example"}}),
        ("post", URL, URL, {"json": {"mp3": "****"}}),
        ("post", URL, URL, {"json": {}}),
        ("post", URL, URL, {"data": b"", "content_type": "audio/mpeg"}),
        ("post", URL, URL, {"data": "x", "content_type": "text/plain"}),
        ("post", URL, URL, {"data": {"other": "1"}, "content_type": "multipart/form-data"}),
        ("post", URL + "?format=ogg", URL, {"data": b"x", "content_type": "audio/mpeg"}),
    ],
)
def test_real_problems_have_a_status_and_a_code_that_their_call_documents(method, path, route, body, spec, client):
    answer = client.open(path, method=method.upper(), **body)
    documented = spec["paths"][route][method]["responses"][str(answer.status_code)]
    check(spec, documented["content"][answer.mimetype]["schema"], answer.json)


def test_headers_of_a_track_are_those_documented(spec, client, done):
    path = f"/apiv1/track/{done}-vocals"
    for headers, status in (({}, 200), ({"Range": "bytes=0-9"}, 206)):
        answer = client.get(path, headers=headers)
        assert answer.status_code == status
        documented = spec["paths"]["/apiv1/track/{name}"]["get"]["responses"][str(status)]
        assert documented["headers"].keys() <= set(answer.headers.keys())
        assert answer.mimetype in documented["content"]


def test_waveforms_fit_their_schema(spec, client, storage, done):
    waveforms = Waveforms(STEMS, 8000, 44100)
    waveforms.add("vocals", np.full((2, 4000), 0.5, np.float32))
    storage.put_waveforms(done, json.dumps(waveforms.to_json()).encode())
    check(spec, named(spec, "Waveforms"), client.get(f"/apiv1/jobs/{done}/waveforms").json)


def test_what_a_callback_is_sent_is_what_the_document_says(spec, queue, client, done):
    posted = Posted(queue.get(done), '{"order": 17}', {"state": "done"})
    body = json.loads(payload(posted))
    check(spec, named(spec, "Called"), body)
    assert body.keys() == named(spec, "Called")["properties"].keys()


@dataclass(frozen=True)
class Posted:
    """What `payload` reads of a callback."""

    job: Job
    data: str
    snapshot: Mapping[str, str] = field(default_factory=lambda: {"state": "done"})


# --- generated requests


CHECKS = (
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
    schemathesis.checks.response_headers_conformance,
)


def bombard(operation: Any, examples: int, modes: Iterable[schemathesis.GenerationMode], **fixed: Any) -> int:
    """Makes requests that fit the document, or that do not: each answer has to fit it. Returns their number."""
    made = itertools.count()
    for mode in modes:

        @limits(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode, **fixed))
        def each(case: schemathesis.Case) -> None:
            next(made)
            case.call_and_validate(checks=CHECKS)

        with suppress(Unsatisfiable):  # nothing about such a call can be wrong
            each()
    return next(made)


@pytest.mark.slow
def test_no_request_that_can_be_generated_brings_an_answer_that_is_not_documented(app, done):
    created = app.test_client().post("/apiv1/uploads", headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1000"})
    upload = created.headers["Location"].rpartition("/")[2]
    share = app.test_client().post(f"/apiv1/jobs/{done}/shares", json={}).json["id"]
    real = {"songhash": done, "name": f"{done}-vocals", "upload_id": upload, "share": share}
    schema = schemathesis.openapi.from_wsgi("/apiv1/openapi.json", app)
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.method == "head":  # the GET's view, once more
            continue
        assert bombard(operation, 15 if operation.method == "post" else 5, schemathesis.GenerationMode) > 0
        if "{" in operation.path:  # a generated songhash is never a job's
            names = {name: real[name] for name in re.findall(r"{(\w+)}", operation.path)}
            assert bombard(operation, 3, [schemathesis.GenerationMode.POSITIVE], path_parameters=names) > 0


# --- the page


def test_the_reference_names_every_call_and_every_schema_and_loads_nothing(client, spec):
    page = client.get("/apiv1/docs")
    assert page.mimetype == "text/html"
    for path, method, call in operations(spec):
        if method != "head":
            assert f'id="{call["operationId"]}"' in page.text
            assert path in page.text
    assert all(f'id="schema-{name}"' in page.text for name in spec["components"]["schemas"])
    assert not re.search(r"<script|<img|<link|https?://(?!localhost/)", page.text)
    assert set(re.findall(r'href="#([^"]+)"', page.text)) <= set(re.findall(r'id="([^"]+)"', page.text))


def test_the_reference_allows_its_own_style_and_nothing_else(client):
    page = client.get("/apiv1/docs")
    [style] = re.findall(r"<style>(.*)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy
    assert not re.search(r"\sstyle=", page.text)  # the policy would refuse it


def test_what_is_told_of_a_schema_cannot_become_markup():
    assert as_text({"description": "<script>"}) == escape('{\n  "description": "<script>"\n}')
    assert prose("`a` <b>") == "<p><code>a</code> &lt;b&gt;</p>"


def test_lines_that_begin_with_a_dash_are_a_list():
    assert prose("First.\n\n- `a`: one\n- <b>") == (
        "<p>First.</p><ul><li><code>a</code>: one</li><li>&lt;b&gt;</li></ul>"
    )


def test_each_call_has_an_example_that_curl_takes(client):
    page = client.get("/apiv1/docs").text
    examples = [unescape(text) for text in re.findall(r'<pre class="curl"[^>]*>(.*?)</pre>', page, re.DOTALL)]
    assert any("-F file=@song.mp3" in example for example in examples)
    assert any("-X DELETE http://localhost/apiv1/remove/$SONGHASH-vocals" in example for example in examples)
    for example in examples:
        shlex.split(example)  # quotes are closed
        assert "{" not in re.sub(r"'\{\"mp3.*?'|-d '\{.*?\}'", "", example)
    assert any("/mix -H 'Content-Type: application/json' -d '{" in example for example in examples)


def test_a_code_of_most_calls_is_explained_once(client, spec):
    page = client.get("/apiv1/docs").text
    assert "internal_error" in shared_codes(spec)
    assert page.count('id="code-internal_error"') == 1 and 'href="#code-internal_error"' not in page
    assert len(re.findall(r'id="code-[a-z0-9_]+"', page)) == len({error.code for error in error_table(spec)})
