"""Parses a caller's URL and decides whether it is allowed. Rejects everything ambiguous.

The parsed parts are used for connecting and sending: no second parser sees the URL, so none can interpret it
differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, quote, urlsplit

import idna

from msaas.errors import CallbackRefused, TargetRefused
from msaas.outbound.addresses import is_within, why_not_public
from msaas.settings.networks import Address, Network

MAX_URL = 2048
MAX_HOST = 253  # RFC 1035
DEFAULT_PORTS = {"http": 80, "https": 443}
_NETLOC = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]{0,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,{MAX_HOST}}}\Z)(?:{_LABEL}\.)*{_LABEL}")
# Forms that inet_aton accepts as an address: 2130706433, 0x7f000001, 127.1, 0177.0.0.1. No top-level domain looks so.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"

Resolve = Callable[[str, int], Iterable[str]]


@dataclass(frozen=True)
class Target:
    """`host` is lower-case ASCII without a trailing dot, or an address in its shortest form, without brackets."""

    scheme: str
    host: str
    port: int
    path: str  # includes the query; never empty

    @property
    def origin(self) -> str:
        """The only part that is shown or logged: path and query often contain a secret of the receiver."""
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
        """Raises TargetRefused with the invalid part, never with the whole URL."""
        _check_text(url)
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise TargetRefused(f"is not a URL: {error}") from error
        if parts.scheme not in DEFAULT_PORTS:
            raise TargetRefused(f"must be http or https, not {parts.scheme[:20]!r}")
        host, port = _host_and_port(parts.netloc)
        return cls(parts.scheme, _host(host), port or DEFAULT_PORTS[parts.scheme], _path(parts))


def _check_text(url: str) -> None:
    if len(url) > MAX_URL:
        raise TargetRefused(f"has {len(url)} characters; the limit is {MAX_URL}")
    # urlsplit silently drops tabs and newlines; some parsers treat a backslash as a slash
    if not url.isprintable() or " " in url or "\\" in url:
        raise TargetRefused("contains a space, a backslash or a control character")


def _host_and_port(netloc: str) -> tuple[str, int | None]:
    if "@" in netloc:
        raise TargetRefused("contains credentials (user@), which would be stored and sent in clear text")
    match = _NETLOC.fullmatch(netloc)
    if match is None:
        raise TargetRefused(f"has no valid host and port: {netloc[:80]!r}")
    port = int(match[2]) if match[2] else None
    if port is not None and not 1 <= port <= 65535:
        raise TargetRefused(f"has port {port}; the highest is 65535")
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
        raise TargetRefused(f"has no valid host: {host[:80]!r}")
    return name


def _ascii(host: str) -> str:
    """Maps full-width digits and the like (UTS 46) before anything is checked."""
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host[: MAX_HOST + 1], uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise TargetRefused(f"has no valid host: {host[:80]!r}") from error


def _ipv4(text: str) -> str:
    try:
        return str(IPv4Address(text))  # rejects leading zeros, hex, and fewer than four numbers
    except ValueError as error:
        raise TargetRefused(f"has an invalid IPv4 address: {text[:80]!r}; write it as four decimal numbers") from error


def _ipv6(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError("zone ids refer to this machine's interfaces")
        return str(IPv6Address(text))
    except ValueError as error:
        raise TargetRefused(f"has no valid IPv6 address: {text[:80]!r}") from error


@dataclass(frozen=True)
class TargetPolicy:
    """`allow`: networks open on every port; `ports`: allowed ports of public addresses.

    A refusal is an error of type `refusal` about the request's member `name`.
    """

    allow: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({80, 443, 5000, 8080, 8443})
    refusal: type[TargetRefused] = CallbackRefused
    name: str = "callback.url"

    def admit(self, url: str) -> Target:
        """Checks what is known without DNS, at submission. Raises `refusal`."""
        with self._named():
            target = Target.parse(url)
            if (literal := target.literal) is not None:
                self._check(target, [literal])
            elif not self.allow:  # a name may resolve to an allowed network, where every port is open
                self._check_port(target)
            return target

    def addresses(self, url: str, resolve: Resolve) -> tuple[Target, Sequence[Address]]:
        """The addresses to connect to, in the resolver's order; all are rejected if one is not public.

        Raises `refusal`, and what `resolve` raises (it never returns an empty list).
        """
        with self._named():
            target = Target.parse(url)
            if (literal := target.literal) is not None:
                found = [literal]
            else:
                found = list(dict.fromkeys(_answer(text) for text in resolve(target.host, target.port)))
            self._check(target, found)
            return target, found

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Says which member of the request is refused."""
        try:
            yield
        except TargetRefused as error:
            refusal = self.refusal(f"{self.name} {error}")
            for note in getattr(error, "__notes__", ()):
                refusal.add_note(note)
            raise refusal from error

    def _check(self, target: Target, found: Sequence[Address]) -> None:
        opened = [is_within(address, self.allow) for address in found]
        for address, is_open in zip(found, opened, strict=True):
            if not is_open and (reason := why_not_public(address)):
                refusal = TargetRefused(f"resolves to an address that is not public ({reason})")
                # for the log; callers must not learn the addresses of internal names
                refusal.add_note(f"address={address}")
                raise refusal
        if not all(opened):
            self._check_port(target)

    def _check_port(self, target: Target) -> None:
        if target.port not in self.ports:
            ports = ", ".join(map(str, sorted(self.ports)))
            raise TargetRefused(f"has port {target.port}; allowed ports are {ports}")


def _answer(text: str) -> Address:
    """Parses one of getaddrinfo's answers. Link-local answers carry a zone id."""
    return ip_address(text.partition("%")[0])
