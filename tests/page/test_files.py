"""The page's files over HTTP: who gets which, how long they are kept, and what the policy leaves open."""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from msaas.web.http.static_files import StaticFiles
from msaas.web.routes.page import STATIC
from msaas.wiring.api import build_app
from msaas.wiring.stores import build_queue
from tests.page.conftest import until

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
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy.pop("script-src") == "'self' 'wasm-unsafe-eval'"  # compiles WebAssembly, and no text as script
    assert "unsafe" not in str(policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/static/js/main.js", "/static/0123456789ab/js/main.js"])
def test_files_under_addresses_without_their_version_are_asked_about_and_not_sent_again(client, path):
    first = client.get(path, headers=BROWSER)
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get(path, headers=BROWSER | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_names_its_files_by_version_and_browsers_keep_those(client):
    page = client.get("/", headers=BROWSER).text
    named = re.findall(r'"(/static/[^"]+)"', page)
    assert len(named) >= 4
    for path in named:
        assert re.match(r"/static/[0-9a-f]{12}/", path)
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_another_content_has_another_address(tmp_path):
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text('<script src="/static/js/main.js"></script>')
    (tmp_path / "js" / "main.js").write_text("1")
    first = StaticFiles.read(tmp_path)
    assert StaticFiles.read(tmp_path) == first
    assert f'"/static/{first.version}/js/main.js"'.encode() in first.files["index.html"].body
    (tmp_path / "js" / "main.js").write_text("2")
    assert StaticFiles.read(tmp_path).version != first.version


@pytest.mark.parametrize("name", ["index.html", "style.css", "js/main.js", "icon.svg"])
def test_files_are_compressed_for_those_who_accept_it(client, name):
    plain = client.get(f"/static/{name}")
    packed = client.get(f"/static/{name}", headers={"Accept-Encoding": "br, gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data)
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in plain.headers["Vary"] and "Accept-Encoding" in packed.headers["Vary"]
    refused = client.get(f"/static/{name}", headers={"Accept-Encoding": "gzip;q=0"})
    assert refused.data == plain.data


def test_a_second_visit_asks_for_nothing_but_the_page(open_page):
    page = open_page(library=True)  # a test that answers a call itself switches the browser's cache off
    expect(page.locator("#pick")).to_be_visible()
    page.goto("/apiv1/docs")
    with page.expect_response("**/apiv1/models"):
        page.goto("/")
    files = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/static/'))"
    sizes = page.evaluate(f"{files}.map(({{ transferSize }}) => transferSize)")
    assert len(sizes) > 20 and set(sizes) == {0}, sizes


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


def test_the_package_that_is_shipped_is_the_published_one_with_its_licence():
    folder = STATIC / "vendor" / "signalsmith-stretch"
    digest = hashlib.sha256((folder / "SignalsmithStretch.mjs").read_bytes()).hexdigest()
    assert digest == "97530b11d5bc01015af4cde40d6aa55ff10c40aa1294ca4c8c5762027d517a46"  # of version 1.3.2 on npm
    assert (folder / "LICENSE.txt").read_text().startswith("MIT License")


def test_modules_import_only_modules_that_are_there():
    for path in (STATIC / "js").rglob("*.js"):
        for name in re.findall(r'(?:from |import\()"([^"]+)"', path.read_text()):
            assert name.startswith("."), f"{path.name} imports {name}"
            assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_folders_of_modules_stay_small():
    folders = {path.parent for path in STATIC.rglob("*.js")}
    assert {folder.name: count for folder in folders if (count := len(list(folder.glob("*.js")))) > 14} == {}


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


# --- the service worker, which starts the page without a network

READY = "navigator.serviceWorker.ready.then(() => true)"
KEPT = """caches.keys().then(async (names) => {
    const paths = async (name) => (await (await caches.open(name)).keys()).map(({ url }) => new URL(url).pathname);
    return [names, (await Promise.all(names.map(paths))).flat()];
})"""


def kept(page: Page) -> Any:
    return page.evaluate(KEPT)


def test_the_page_starts_without_a_network(open_page):
    page = open_page(service_workers="allow")
    assert page.evaluate(READY)
    page.reload()  # from here on the worker is in control
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#home-title")).to_have_text("Hear what a song is made of")
    expect(page.locator("#pick")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.drop')).borderStyle") != "none"
    page.context.set_offline(False)


def test_no_answer_of_the_api_and_no_audio_is_kept(open_page, song):
    page = open_page(service_workers="allow")
    assert page.evaluate(READY)
    page.goto(song.address)
    page.reload()
    expect(page.locator("#save-mix")).to_be_enabled()
    names, paths = kept(page)
    assert len(names) == 1
    version = names[0].removeprefix("msaas-shell-")
    assert re.fullmatch("[0-9a-f]{12}", version)
    assert f"/static/{version}/js/main.js" in paths
    assert [path for path in paths if path != "/" and not path.startswith(f"/static/{version}/")] == []


def test_files_of_another_version_are_dropped(open_page):
    page = open_page(service_workers="allow")
    assert page.evaluate(READY)
    old = "caches.open('msaas-shell-0123456789ab').then((cache) => cache.put('/static/old', new Response('x')))"
    page.evaluate(old)
    page.evaluate("navigator.serviceWorker.getRegistration().then((one) => one.unregister())")
    page.reload()  # registers it again, as a new version does
    assert page.evaluate(READY)
    until(page, "() => caches.has('msaas-shell-0123456789ab').then((there) => !there)")


def test_no_test_takes_a_promise_for_true():
    """Playwright's wait_for_function returns at once if its function returns a promise."""
    tests = {path: path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("*.py")}
    assert [path.name for path, text in tests.items() if ".wait_for_function" + "(" in text] == []
