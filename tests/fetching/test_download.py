"""A song is fetched whole or not at all, from where it may be fetched and within limits."""

from __future__ import annotations

import hashlib
import itertools
import socket

import pytest

from msaas.errors import BadRequest, FetchRefused, UploadTooLarge
from msaas.fetching.answers import FetchFailed
from msaas.outbound.targets import TargetPolicy
from tests.support.receivers import Receiver, answers
from tests.support.song_server import CHUNK
from tests.support.ssrf import ANSWERS, PUBLIC, PUBLIC_V6, URLS, Bent

DATA = bytes(range(256)) * 2000  # 512 kB


def is_whole(fetched, data=DATA):
    return (fetched.path.read_bytes(), fetched.size, fetched.sha256) == (
        data,
        len(data),
        hashlib.sha256(data).hexdigest(),
    )


# --- whole, also after breaks


def test_a_song_comes_as_it_is(server, download):
    origin, shares = server(DATA), []
    assert is_whole(download(origin.url, progress=shares.append))
    [asked] = origin.asked
    assert asked["accept-encoding"] == "identity"
    assert "range" not in asked
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_song_of_unknown_length_comes_too(server, download):
    assert is_whole(download(server(DATA, with_length=False).url))


def test_after_a_break_the_rest_is_asked_for(server, download):
    origin = server(DATA, breaks=[100_000, 0, 200_000])
    assert is_whole(download(origin.url))
    assert [asked.get("range") for asked in origin.asked] == [None, "bytes=100000-", "bytes=100000-", "bytes=300000-"]
    assert origin.asked[1]["if-range"] == '"one"'


def test_a_song_that_changed_in_between_starts_over(server, download):
    origin = server(b"older " * 50_000, breaks=[100_000])

    def pause(_):
        origin.data, origin.etag = DATA, '"two"'

    assert is_whole(download(origin.url, pause=pause))


@pytest.mark.parametrize("more", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}])
def test_a_server_that_cannot_go_on_is_asked_for_the_whole(server, download, more):
    origin = server(DATA, breaks=[100_000], **more)
    assert is_whole(download(origin.url))
    assert len(origin.asked) == 2


def test_a_server_that_no_longer_has_the_range_is_asked_for_the_whole(server, download):
    origin = server(DATA, breaks=[100_000])
    assert is_whole(download(origin.url, pause=lambda _: origin.statuses.extend([416] * (len(origin.asked) == 1))))
    assert [asked.get("range") for asked in origin.asked] == [None, "bytes=100000-", None]


def test_a_range_that_was_not_asked_for_is_not_taken(server, download):
    origin = server(DATA, breaks=[100_000])

    def lie(request):
        origin.answer = None
        request.send_response(206)
        request.send_header("Content-Range", "bytes 5-9/10")
        request.end_headers()
        request.wfile.write(b"wrong")

    def pause(_):
        if len(origin.asked) == 1:
            origin.answer = lie

    assert is_whole(download(origin.url, pause=pause))
    assert [asked.get("range") for asked in origin.asked] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(server, download, status):
    assert is_whole(download(server(DATA, statuses=[status, status]).url))


def test_the_reason_of_each_wait_is_reported_and_its_end(server, download):
    reasons = []
    origin = server(DATA, statuses=[503])
    assert is_whole(download(origin.url, waiting=reasons.append))
    assert reasons == [f"127.0.0.1:{origin.port} answered 503", ""]


def test_a_server_that_stays_away_is_given_up_for_now(server, download):
    origin = server(DATA, statuses=[503] * 100)
    with pytest.raises(FetchFailed, match="answered 503") as failed:
        download(origin.url)
    assert failed.value.temporary
    assert len(origin.asked) == 7


@pytest.mark.parametrize("status", [204, 301, 400, 401, 403, 404, 410])
def test_a_server_that_refuses_is_asked_once(server, download, status):
    origin = server(DATA, statuses=[status] * 2)
    with pytest.raises(FetchFailed, match=rf"answered {status}|redirects to no address") as failed:
        download(origin.url)
    assert not failed.value.temporary
    assert len(origin.asked) == 1
    assert "secret" not in str(failed.value)


# --- limits


def test_a_song_above_the_limit_is_refused_by_its_length_before_a_byte_is_kept(server, download, tmp_path):
    with pytest.raises(UploadTooLarge):
        download(server(DATA).url, bytes=len(DATA) - 1)
    assert not (tmp_path / "fetched").exists()


def test_a_song_without_a_length_is_refused_at_the_limit(server, download, tmp_path):
    with pytest.raises(UploadTooLarge):
        download(server(DATA, with_length=False).url, bytes=100_000)
    assert (tmp_path / "fetched").stat().st_size <= 100_000


def test_an_endless_body_ends_at_the_limit(server, download, tmp_path):
    origin = server(b"")
    sent = itertools.count()

    def flood(request):
        request.send_response(200)
        request.end_headers()
        for _ in sent:
            request.wfile.write(b"x" * CHUNK)

    origin.answer = flood
    with pytest.raises(UploadTooLarge):
        download(origin.url, bytes=1_000_000)
    assert (tmp_path / "fetched").stat().st_size <= 1_000_000


def test_an_empty_song_is_refused(server, download):
    with pytest.raises(BadRequest, match="empty"):
        download(server(b"").url)


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, gzip", "x-anything"])
def test_a_compressed_answer_is_not_unpacked(server, download, tmp_path, coding):
    with pytest.raises(FetchFailed, match="compressed"):
        download(server(DATA, headers={"Content-Encoding": coding}).url)
    assert not (tmp_path / "fetched").exists()


@pytest.fixture
def trickling(server):
    origin = server(b"")

    def trickle(request):
        request.send_response(200)
        request.end_headers()
        while not origin.reached.wait(0.02):
            request.wfile.write(b"x")
            request.wfile.flush()

    origin.answer = trickle
    yield origin
    origin.reached.set()


def test_a_body_that_trickles_is_given_up_at_its_rate(trickling, download):
    with pytest.raises(FetchFailed, match="less than 100000 bytes a second"):
        download(trickling.url, slow_seconds=0.2, slow_bytes_per_second=100_000)


def test_a_body_that_trickles_without_end_is_not_a_song_at_the_deadline(trickling, download):
    with pytest.raises(FetchFailed, match="not fetched within 1 seconds"):
        download(trickling.url, seconds=1)


def test_a_server_that_sends_nothing_is_given_up(server, download):
    origin = server(DATA)
    origin.answer = lambda request: origin.reached.wait(60)
    with pytest.raises(FetchFailed, match=r"sends nothing|not fetched within"):
        download(origin.url, idle_seconds=0.05)
    origin.reached.set()


def test_headers_that_never_end_are_given_up_at_the_deadline(server, download):
    origin = server(DATA)

    def endless(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not origin.reached.wait(0.02):
            request.wfile.write(b"x")
            request.wfile.flush()

    origin.answer = endless
    with pytest.raises(FetchFailed):
        download(origin.url, seconds=1)
    origin.reached.set()


# --- redirects


def redirecting(server, *locations):
    origin, left = server(DATA), list(locations)

    def answer(request):
        if left:
            request.send_response(302)
            request.send_header("Location", left.pop(0))
            request.end_headers()
        else:
            origin.send(request)

    origin.answer = answer
    return origin


def test_a_redirect_is_followed_and_checked(server, download):
    origin = redirecting(server, "/elsewhere", "?again")
    assert is_whole(download(origin.url))
    assert len(origin.asked) == 3


@pytest.mark.parametrize(
    "location",
    ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://2130706433/", "ftp://x/"],
)
def test_a_redirect_that_leads_inside_is_refused(server, download, location):
    with pytest.raises(FetchRefused, match="url "):
        download(redirecting(server, location).url)


def test_redirects_have_an_end(server, download):
    with pytest.raises(FetchFailed, match="more than 5 times"):
        download(redirecting(server, *["/again"] * 100).url)


# --- the guard


@pytest.fixture(scope="module")
def counting():
    with Receiver(answers(200, body=b"a song")) as receiver:
        yield receiver


@pytest.fixture
def attempt(counting, download):
    """One fetch of a URL whose host resolves to `found`: the error, what was connected to, connections that came."""

    def tried(url, found=(PUBLIC,)):
        before, bent = counting.accepted, Bent(counting.port)
        try:
            download(url, policy=TargetPolicy(refusal=FetchRefused, name="url"), resolve=lambda *_: found, connect=bent)
        except FetchRefused as error:
            return str(error), bent.meant, counting.accepted - before
        return "", bent.meant, counting.accepted - before

    return tried


@pytest.mark.parametrize(("address", "reason"), ANSWERS)
def test_a_name_that_leads_inside_is_never_connected_to(attempt, address, reason):
    for found in ([address], [PUBLIC, PUBLIC_V6, address]):
        error, meant, connections = attempt("http://inner.example/", found)
        assert error.startswith("url ") and reason in error
        assert (meant, connections) == ([], 0)


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_a_url_that_leads_inside_is_refused(attempt, url, reason):
    error, meant, connections = attempt(url)
    assert error.startswith("url ") and reason in error
    assert (meant, connections) == ([], 0)


def test_a_name_is_resolved_once_for_a_connection_and_checked_again_for_the_next(counting, download):
    """DNS rebinding: the second answer leads inside."""
    asked, bent = itertools.cycle([[PUBLIC], ["127.0.0.1"]]), Bent(counting.port)
    more = {"policy": TargetPolicy(refusal=FetchRefused, name="url"), "connect": bent}
    calls = []

    def rebinding(host, port, timeout):
        calls.append(host)
        return next(asked)

    assert download("http://rebind.example/", resolve=rebinding, **more).size == 6
    assert (calls, bent.meant) == (["rebind.example"], [(PUBLIC, 80)])
    with pytest.raises(FetchRefused, match="loopback"):
        download("http://rebind.example/", resolve=rebinding, **more)


def test_proxy_settings_of_the_environment_are_not_read(monkeypatch, server, download):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert is_whole(download(server(DATA).url))
