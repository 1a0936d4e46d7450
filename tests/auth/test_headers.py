"""What browsers are told with each answer, and whose pages may read one."""

from __future__ import annotations

import pytest
import requests

from tests.support.api import URL, live, live_environ, song_bytes

__all__ = ["live", "live_environ"]

APP = "https://app.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
PATHS = ("/", "/static/js/main.js", "/apiv1", "/apiv1/docs", "/apiv1/models", "/apiv1/nothing", "/healthz", "/metrics")


@pytest.fixture
def shared(make_app, held):
    return make_app(api_keys=tuple(held.keys), cors_origins=frozenset({APP})).test_client()


@pytest.mark.parametrize("path", PATHS)
def test_each_answer_tells_browsers_to_be_careful(client, path):
    headers = client.get(path, headers={"Accept": "text/html"}).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    [policy] = headers.getlist("Content-Security-Policy")
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "")  # WebAssembly, but no text becomes script


def test_no_other_page_may_read_answers_unless_its_origin_is_listed(client, shared):
    for app, origin in ((client, APP), (shared, "https://other.example"), (shared, "null")):
        answer = app.get("/apiv1", headers={"Origin": origin})
        assert "Access-Control" not in str(answer.headers)
        preflight = app.options(URL, headers={"Origin": origin} | PREFLIGHT)
        assert "Access-Control" not in str(preflight.headers)


def test_a_preflight_of_a_listed_origin_needs_no_key(shared):
    answer = shared.options(URL, headers={"Origin": APP} | PREFLIGHT)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert {"POST", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_a_listed_origin_reads_answers_and_refusals_and_their_headers(shared, held):
    post = {"data": song_bytes(), "content_type": "audio/wav"}
    accepted = shared.post(URL, headers={"Origin": APP} | held.headers("anna"), **post)
    refused = shared.post(URL, headers={"Origin": APP}, **post)
    assert (accepted.status_code, refused.status_code) == (202, 401)
    for answer in (accepted, refused):
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert all(name in exposed for name in ("Location", "Retry-After", "RateLimit", "X-RateLimit-Remaining"))
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "Origin" in shared.get("/apiv1").headers["Vary"]


def test_a_listed_origin_cannot_empty_the_buckets(make_app):
    client = make_app(cors_origins=frozenset({APP}), debug_endpoints=True).test_client()
    assert client.delete("/apiv1/contents", headers={"Origin": APP}).status_code == 403


def test_no_answer_says_what_serves_it(live):
    for path in PATHS:
        headers = requests.get(live.url + path, timeout=60).headers
        assert headers["Server"] == "msaas"
        assert "uvicorn" not in str(headers).lower() and "python" not in str(headers).lower()
