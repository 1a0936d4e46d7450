"""Where a callback must never lead. Each row is tried for real, against a server that counts connections: none come.

Every dial is bent to that server, whatever address it was for, so that a hole in the guard would show as a count.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from itertools import cycle

import pytest

from msaas.callbacks.addresses import NOT_PUBLIC, why_not_public
from msaas.callbacks.resolve import Unresolved
from msaas.callbacks.sender import HttpPost
from msaas.callbacks.targets import TargetPolicy
from msaas.errors import CallbackRefused
from msaas.settings.networks import parse_networks
from tests.callbacks.conftest import a_callback
from tests.support.receivers import Receiver, answers

TLS = ssl.create_default_context()  # reading the certificates takes longer than any row
PUBLIC = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

# What a name may resolve to, and why it is refused.
ANSWERS = [
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.254", "private"),
    ("192.168.1.1", "private"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("0.0.0.0", "unspecified"),  # noqa: S104 - dialled, not bound
    ("0.1.2.3", "unspecified"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "link-local"),  # ECS credentials
    ("168.63.129.16", "metadata"),  # Azure, at a public address
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.100.100.200", "carrier-grade NAT"),  # Alibaba's metadata
    ("100.127.255.255", "carrier-grade NAT"),
    ("192.0.0.192", "protocol assignments"),  # Oracle's metadata
    ("192.0.2.1", "documentation"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.9", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.52.193.1", "AMT"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "IPv4-mapped"),
    ("::ffff:93.184.215.14", "IPv4-mapped"),
    ("::ffff:0:7f00:1", "IPv4-translated"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b::a9fe:a9fe", "NAT64"),
    ("64:ff9b:1::a00:1", "NAT64"),
    ("100::1", "discard-only"),
    ("2001::1", "Teredo"),
    ("2001:0:7f00:1::", "Teredo"),
    ("2001:2::1", "benchmarking"),
    ("2001:20::1", "ORCHID"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("2002:7f00:1::", "6to4"),
    ("2002:a9fe:a9fe::1", "6to4"),
    ("4000::1", "outside 2000::/3"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fd12:3456:789a::1", "unique local"),
    ("fd00:ec2::254", "metadata"),  # AWS
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
]

# What a caller may write, and what the refusal says.
URLS = [
    ("http://127.0.0.1/", "loopback"),
    ("http://127.0.0.1:443/", "loopback"),
    ("http://127.0.0.1./", "loopback"),
    ("http://127.1/", "invalid IPv4"),
    ("http://127.0.1/", "invalid IPv4"),
    ("http://2130706433/", "invalid IPv4"),
    ("http://0x7f000001/", "invalid IPv4"),
    ("http://0x7f.0.0.0x1/", "invalid IPv4"),
    ("http://0177.0.0.1/", "invalid IPv4"),
    ("http://017700000001/", "invalid IPv4"),
    ("http://127.0.0.01/", "invalid IPv4"),
    ("http://0/", "invalid IPv4"),
    ("http://1.2.3.4.5/", "invalid IPv4"),
    ("http://256.256.256.256/", "invalid IPv4"),
    ("http://①②⑦.⓪.⓪.①/", "loopback"),
    ("http://１２７.0.0.1/", "loopback"),
    ("http://127。0。0。1/", "loopback"),
    ("http://0x7F000001/", "invalid IPv4"),
    ("http://[::1]/", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("http://[::]/", "unspecified"),
    ("http://[::ffff:127.0.0.1]/", "IPv4-mapped"),
    ("http://[::ffff:7f00:1]/", "IPv4-mapped"),
    ("http://[::127.0.0.1]/", "IPv4-compatible"),
    ("http://[64:ff9b::127.0.0.1]/", "NAT64"),
    ("http://[fe80::1%25eth0]/", "IPv6"),
    ("http://[fe80::1%eth0]/", "IPv6"),
    ("http://[::1]evil.example/", "host and port"),
    ("http://[v7.x]/", "IP"),
    ("http://::1/", "host and port"),
    ("http://169.254.169.254/latest/meta-data/", "metadata"),
    ("http://[fd00:ec2::254]/", "metadata"),
    ("http://user@public.example/", "credentials"),
    ("http://user:secret@127.0.0.1/", "credentials"),
    ("http://public.example@127.0.0.1/", "credentials"),
    ("http://127.0.0.1@public.example/", "credentials"),
    ("http://public.example\\@127.0.0.1/", "backslash"),
    ("http:\\\\127.0.0.1\\", "backslash"),
    ("http://public.example /", "space"),
    ("http://127.0.0.1\t/", "control"),
    ("http://127.0.0.1\n.public.example/", "control"),
    ("http://127.0.0.1\0.public.example/", "control"),
    ("http://127.0.0%2e1/", "no valid host"),
    ("http://%31%32%37.example/", "no valid host"),
    ("http://public.example:22/", "port 22"),
    ("http://public.example:6379/", "port 6379"),
    ("http://public.example:0/", "port 0"),
    ("http://public.example:65536/", "65536"),
    ("http://public.example:８０/", ""),
    ("http://public.example:+80/", "host and port"),
    ("http:///etc/passwd", "no valid host"),
    ("http://./", "no valid host"),
    ("http://-x.example/", "no valid host"),
    ("http://public..example/", "no valid host"),
    ("http://" + "a." * 130 + "example/", "no valid host"),
    ("http://" + "a" * 64 + ".example/", "no valid host"),
    ("file:///etc/passwd", "not 'file'"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "not 'gopher'"),
    ("ftp://public.example/", "not 'ftp'"),
    ("dict://127.0.0.1:6379/", "not 'dict'"),
    ("unix:///run/docker.sock", "not 'unix'"),
    ("javascript:alert(1)", "not 'javascript'"),
    ("//public.example/", "not ''"),
    ("http://public.example/" + "x" * 2048, "limit"),
]


class Bent:
    """Dials the counting server instead, and notes which address was meant."""

    def __init__(self, port: int) -> None:
        self.port, self.meant = port, []

    def __call__(self, address, port, timeout_seconds):
        self.meant.append((str(address), port))
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_seconds)


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
