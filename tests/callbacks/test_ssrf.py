"""Where a callback must never lead. Each row is tried for real, against a server that counts connections: none come.

Every dial is bent to that server, whatever address it was for, so that a hole in the guard would show as a count.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from itertools import cycle

import pytest

from msaas.callbacks.sender import HttpPost
from msaas.errors import CallbackRefused
from msaas.outbound.addresses import NOT_PUBLIC, why_not_public
from msaas.outbound.resolve import Unresolved
from msaas.outbound.targets import TargetPolicy
from msaas.settings.networks import parse_networks
from tests.callbacks.conftest import a_callback
from tests.support.receivers import Receiver, answers
from tests.support.ssrf import ANSWERS, PUBLIC, PUBLIC_V6, URLS, Bent

TLS = ssl.create_default_context()  # reading the certificates takes longer than any row


@pytest.fixture(scope="module")
def counting():
    with Receiver(answers(200)) as receiver:
        yield receiver


@pytest.fixture
def attempt(counting):
    """One attempt at a URL whose host resolves to `found`; the outcome, what was dialled, connections that came."""

    def tried(url: str, found: Sequence[str] = (PUBLIC,), **guard):
        before, bent = counting.accepted, Bent(counting.port)
        how = {"resolve": lambda *_: found, "connect": bent, "attempt_seconds": 60, "context": TLS}
        outcome = HttpPost(TargetPolicy(**guard), **how)(a_callback(url))
        return outcome, bent.meant, counting.accepted - before

    return tried


@pytest.mark.parametrize(("address", "reason"), ANSWERS)
def test_a_name_that_leads_inside_is_never_dialled(attempt, address, reason):
    outcome, meant, connections = attempt("http://inner.example/", [address])
    assert outcome.refused and reason in outcome.error
    assert (meant, connections) == ([], 0)


@pytest.mark.parametrize(("address", "reason"), ANSWERS)
def test_one_inner_answer_among_public_ones_is_enough(attempt, address, reason):
    outcome, meant, connections = attempt("http://inner.example/", [PUBLIC, PUBLIC_V6, address])
    assert outcome.refused and reason in outcome.error
    assert (meant, connections) == ([], 0)


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_a_url_that_leads_inside_is_refused_at_submission_and_at_delivery(attempt, url, reason):
    with pytest.raises(CallbackRefused) as refused:
        TargetPolicy().admit(url)
    assert reason in str(refused.value)
    outcome, meant, connections = attempt(url)
    assert outcome.refused and reason in outcome.error
    assert (meant, connections) == ([], 0)


@pytest.mark.parametrize("found", [[PUBLIC], [PUBLIC_V6], [PUBLIC_V6, PUBLIC], ["2606:4700:4700::1111"], ["1.1.1.1"]])
def test_public_addresses_are_dialled_as_they_were_resolved(attempt, found):
    outcome, meant, connections = attempt("http://public.example/", found)
    assert outcome.delivered and connections == 1  # the harness sees what gets through
    assert meant == [(found[0], 80)]


@pytest.mark.parametrize(
    ("url", "connected"),
    [
        ("http://8.8.8.8/", ("8.8.8.8", 80)),
        ("http://8.8.8.8./", ("8.8.8.8", 80)),
        ("http://[2606:4700:4700::1111]:8443/x?y", ("2606:4700:4700::1111", 8443)),
        ("HTTP://PUBLIC.example.:8080#x", (PUBLIC, 8080)),
        ("http://bücher.example", (PUBLIC, 80)),
        ("http://under_score.example/", (PUBLIC, 80)),
    ],
)
def test_plain_urls_pass(attempt, url, connected):
    TargetPolicy().admit(url)
    outcome, meant, connections = attempt(url)
    assert outcome.delivered, outcome
    assert (meant, connections) == ([connected], 1)


def test_each_network_of_the_table_is_refused_at_both_its_ends():
    for network, _ in NOT_PUBLIC:
        assert why_not_public(network.network_address) and why_not_public(network.broadcast_address), network


@pytest.mark.parametrize(
    "address",
    ["9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.0", "172.32.0.0", "223.255.255.255"],
)
def test_what_borders_on_an_inner_network_is_public(attempt, address):
    assert attempt("http://public.example/", [address])[0].delivered


def test_a_rebinding_name_is_asked_once_an_attempt_and_dialled_where_it_was_checked(counting):
    asked = cycle([[PUBLIC], ["127.0.0.1"]])
    calls, bent = [], Bent(counting.port)
    before = counting.accepted

    def rebinding(host, port, timeout):
        calls.append(host)
        return next(asked)

    post = HttpPost(TargetPolicy(), resolve=rebinding, connect=bent, attempt_seconds=60)
    assert post(a_callback("http://rebind.example/")).delivered
    assert (calls, bent.meant) == (["rebind.example"], [(PUBLIC, 80)])
    assert post(a_callback("http://rebind.example/")).refused  # the second answer is the inner one
    assert (len(calls), len(bent.meant), counting.accepted - before) == (2, 1, 1)


@pytest.mark.parametrize("spelling", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "[::ffff:127.0.0.1]"])
def test_the_systems_own_resolver_finds_no_way_in_either(counting, spelling):
    before = counting.accepted
    outcome = HttpPost(TargetPolicy(ports=frozenset({counting.port})))(
        a_callback(f"http://{spelling}:{counting.port}/")
    )
    assert outcome.refused, outcome
    assert counting.accepted == before


def test_a_redirect_to_an_inner_address_is_not_followed(attempt, counting, receiver):
    inner = receiver(answers(200))
    outer = receiver(answers(302, headers=f"Location: {inner.url}\r\n"))
    home = TargetPolicy(allow=parse_networks("127.0.0.0/8"))
    outcome = HttpPost(home)(a_callback(outer.url))
    assert (outcome.status, outcome.delivered) == (302, False)
    assert "redirects are not followed" in outcome.error
    assert (outer.accepted, inner.accepted) == (1, 0)


def test_proxy_settings_of_the_environment_are_not_read(monkeypatch, receiver):
    proxy, aim = receiver(answers(200)), receiver(answers(200))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert HttpPost(TargetPolicy(allow=parse_networks("127.0.0.0/8")))(a_callback(aim.url)).delivered
    assert (proxy.accepted, aim.accepted) == (0, 1)


def test_an_opened_network_is_open_on_every_port_and_nothing_beside_it(attempt, counting):
    home = {"allow": parse_networks("127.0.0.0/8")}
    assert attempt("http://127.0.0.1:1234/", **home)[0].delivered
    assert attempt("http://home.example:1234/", ["127.0.0.1"], **home)[0].delivered
    for url, found in [
        ("http://10.0.0.1/", []),
        ("http://home.example/", ["10.0.0.1"]),
        ("http://home.example:1234/", [PUBLIC]),
        ("http://home.example:1234/", ["127.0.0.1", PUBLIC]),
        ("http://home.example/", ["127.0.0.1", "10.0.0.1"]),
        ("http://[::ffff:127.0.0.1]/", []),
        ("http://home.example/", ["::1"]),
    ]:
        outcome, meant, connections = attempt(url, found, **home)
        assert outcome.refused, url
        assert (meant, connections) == ([], 0)


def test_with_an_opened_network_a_names_port_is_judged_when_its_address_is_known():
    home = TargetPolicy(allow=parse_networks("127.0.0.0/8"))
    home.admit("http://receiver.home:1234/")
    home.admit("http://127.0.0.1:1234/")
    with pytest.raises(CallbackRefused):
        home.admit("http://8.8.8.8:1234/")


def test_the_listed_ports_replace_the_default_ones():
    guard = TargetPolicy(ports=frozenset({9000}))
    guard.admit("https://public.example:9000/")
    with pytest.raises(CallbackRefused, match="9000"):
        guard.admit("https://public.example/")


def test_the_first_versions_sample_callback_is_taken_and_refused_at_delivery(attempt):
    TargetPolicy().admit("http://localhost:5000")
    assert attempt("http://localhost:5000", ["127.0.0.1"])[0].refused


def test_a_name_without_an_address_may_have_one_later(counting):
    def nothing(host, port, timeout):
        raise Unresolved(f"{host} does not resolve")

    TargetPolicy().admit("http://no-such-host.invalid/")
    outcome = HttpPost(TargetPolicy(), resolve=nothing)(a_callback("http://no-such-host.invalid/"))
    assert not outcome.refused and "does not resolve" in outcome.error


def test_refusals_name_no_inner_address(attempt):
    """Else anyone could read the cluster's names and addresses off the callbacks of a job."""
    assert "10.96" not in attempt("http://redis.default.svc/", ["10.96.0.7"])[0].error


def test_the_table_is_as_long_as_it_has_to_be():
    assert len(ANSWERS) + len(URLS) >= 60
