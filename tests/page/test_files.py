"""The page's files over HTTP: who gets which, how long they are kept, and what the policy leaves open."""

import re

import pytest

from msaas.web.routes.page import STATIC
from msaas.wiring.api import build_app
from msaas.wiring.stores import build_queue

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())


@pytest.fixture
def client(settings):
    return build_app(settings).test_client()


def test_browsers_get_the_page_and_programs_the_calls(client):
    page = client.get("/", headers=BROWSER)
    assert page.mimetype == "text/html" and b"<main" in page.data
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert client.get("/", headers=headers).json == client.get("/apiv1").json
    assert "Accept" in page.headers["Vary"]


@pytest.mark.parametrize("path", ["/", *(f"/static/{name}" for name in FILES)])
def test_each_file_is_under_a_policy_that_allows_nothing_from_elsewhere_and_nothing_inline(client, path):
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_files_are_asked_about_and_not_sent_again(client):
    first = client.get("/static/js/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/static/js/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["../page.py", "%2e%2e/page.py", "js/", "", "js/nothing.js", "%2fetc/passwd"])
def test_nothing_else_is_served(client, path):
    answer = client.get(f"/static/{path}", follow_redirects=True)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_the_page_names_nothing_that_is_not_there_or_not_ours():
    html = (STATIC / "index.html").read_text()
    named = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)
    assert named and all((STATIC / name.removeprefix("/static/")).is_file() for name in named)
    for path in STATIC.rglob("*"):
        if path.suffix in (".html", ".css", ".js"):
            assert not re.search(r"https?://(?!www\.w3\.org/)", path.read_text()), path.name
    assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)


def test_modules_import_only_modules_that_are_there():
    for path in (STATIC / "js").rglob("*.js"):
        for name in re.findall(r'(?:from |import\()"([^"]+)"', path.read_text()):
            assert name.startswith("."), f"{path.name} imports {name}"
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_folders_of_modules_stay_small():
    folders = {path.parent for path in STATIC.rglob("*.js")}
    assert {folder.name: count for folder in folders if (count := len(list(folder.iterdir()))) > 14} == {}


def test_what_may_be_asked_for_is_listed(client, settings):
    queue = build_queue(settings)
    queue.publish_model(settings.model, {"sources": ["drums", "bass", "other", "vocals"]})
    offer = client.get("/apiv1/models").json
    assert offer["default"] == settings.model
    [model] = offer["models"]
    assert (model["name"], model["sources"]) == (settings.model, ["drums", "bass", "other", "vocals"])
    assert offer["formats"] == ["mp3", "flac", "wav", "m4a", "opus", "stems.m4a"] and 320 in offer["bitrates"]
    assert offer["format_choices"]["wav"] == {
        "bitrates": [], "default_bitrate": None, "bit_depths": ["32f", "24", "16"], "sample_rates": None
    }  # fmt: skip
    assert offer["format_choices"]["opus"]["sample_rates"] == [48_000]
    assert offer["limits"] == {"upload_bytes": 200_000_000, "duration_seconds": 14_400}
