"""A callback's URL taken apart, and the guard that says where it may lead. Refuses everything it is not sure of.

The parts read here are the parts dialled and sent: no second parser ever sees the URL, so none can read it otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, quote, urlsplit

import idna

from msaas.callbacks.addresses import is_within, why_not_public
from msaas.errors import CallbackRefused
from msaas.settings.networks import Address, Network

LONGEST_URL = 2048
LONGEST_HOST = 253  # RFC 1035
DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{0,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,{LONGEST_HOST}}}\Z)(?:{_LABEL}\.)*{_LABEL}")
# What inet_aton takes for an address: 2130706433, 0x7f000001, 127.1, 0177.0.0.1. No top-level domain looks so.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"

Resolve = Callable[[str, int], Iterable[str]]


@dataclass(frozen=True)
class Target:
    """`host` is lower-case ASCII without a trailing dot, or an address in its shortest form, unbracketed."""

    scheme: str
    host: str
    port: int
    path: str  # with the query; never empty

    @property
    def origin(self) -> str:
        """All that is ever shown or logged: paths and queries of callbacks often are the receiver's secret."""
        return f"{self.scheme}://{self.host_header}"

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def literal(self) -> Address | None:
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @classmethod
    def parse(cls, url: str) -> Target:
        """Raises CallbackRefused, saying which part is wrong and never repeating the URL whole."""
        _check_text(url)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise CallbackRefused(f"callback.url is no URL: {error}") from error
        if parts.scheme not in DEFAULT_PORTS:
            raise CallbackRefused(f"callback.url takes http or https, not {parts.scheme[:20]!r}")
        host, port = _host_and_port(parts.netloc)
        return cls(parts.scheme, _host(host), port or DEFAULT_PORTS[parts.scheme], _path(parts))


def _check_text(url: str) -> None:
    if len(url) > LONGEST_URL:
        raise CallbackRefused(f"callback.url has {len(url)} characters; the limit is {LONGEST_URL}")
    # urlsplit drops tabs and newlines without a word; a backslash is a slash to some and not to others
    if not url.isprintable() or " " in url or "\\" in url:
        raise CallbackRefused("callback.url holds a space, a backslash or a control character")


def _host_and_port(netloc: str) -> tuple[str, int | None]:
    if "@" in netloc:
        raise CallbackRefused("callback.url holds credentials (user@): they would be stored and sent in the clear")
    match = _NETLOC.fullmatch(netloc)
    if match is None:
        raise CallbackRefused(f"callback.url names no host and port: {netloc[:80]!r}")
    port = int(match[2]) if match[2] else None
    if port is not None and not 1 <= port <= 65535:
        raise CallbackRefused(f"callback.url names port {port}; ports end at 65535")
    return match[1], port


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    return f"{path}?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else path


def _host(host: str) -> str:
    if host.startswith("["):
        return _ipv6(host[1:-1])
    name = _ascii(host).removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _ipv4(name)
    if not _HOST.fullmatch(name):
        raise CallbackRefused(f"callback.url names no host: {host[:80]!r}")
    return name


def _ascii(host: str) -> str:
    """Full-width digits and the like become what they mean (UTS 46) before anything is judged."""
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host[: LONGEST_HOST + 1], uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise CallbackRefused(f"callback.url names no host: {host[:80]!r}") from error


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))  # refuses leading zeros, hex, and fewer than four parts
    except ValueError as error:
        raise CallbackRefused(
            f"callback.url spells an address oddly: {text[:80]!r}; write an IPv4 address as four decimal numbers"
        ) from error


def _ipv6(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError("zone ids name this machine's own interfaces")
        return str(IPv6Address(text))
    except ValueError as error:
        raise CallbackRefused(f"callback.url names no IPv6 address: {text[:80]!r}") from error


@dataclass(frozen=True)
class TargetPolicy:
    """`allow` opens networks, with every port in them; `ports` is what may be dialled at public addresses."""

    allow: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({80, 443, 5000, 8080, 8443})

    def admit(self, url: str) -> Target:
        """What can be known without asking DNS, at submission. Raises CallbackRefused."""
        target = Target.parse(url)
        if (literal := target.literal) is not None:
            self._check(target, [literal])
        elif not self.allow:  # a name may still lead into an allowed network, where every port is open
            self._check_port(target)
        return target

    def addresses(self, url: str, resolve: Resolve) -> tuple[Target, Sequence[Address]]:
        """Where to dial, in the resolver's order: asked once, and refused whole if one answer is not public.

        Raises CallbackRefused; what `resolve` raises passes through, which it does rather than answer with nothing.
        """
        target = Target.parse(url)
        if (literal := target.literal) is not None:
            found = [literal]
        else:
            found = list(dict.fromkeys(_answer(text) for text in resolve(target.host, target.port)))
        self._check(target, found)
        return target, found

    def _check(self, target: Target, found: Sequence[Address]) -> None:
        opened = [is_within(address, self.allow) for address in found]
        for address, is_open in zip(found, opened, strict=True):
            if not is_open and (reason := why_not_public(address)):
                refusal = CallbackRefused(f"callback.url leads to an address that is not public ({reason})")
                refusal.add_note(f"address={address}")  # for the log; callers must not learn inner names' addresses
                raise refusal
        if not all(opened):
            self._check_port(target)

    def _check_port(self, target: Target) -> None:
        if target.port not in self.ports:
            ports = ", ".join(map(str, sorted(self.ports)))
            raise CallbackRefused(f"callback.url names port {target.port}; callbacks go to {ports}")


def _answer(text: str) -> Address:
    """One of getaddrinfo's answers. A zone id is kept by it where the answer is link-local."""
    return ip_address(text.partition("%")[0])
