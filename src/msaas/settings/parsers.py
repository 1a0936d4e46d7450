"""Converts the text of a variable to the value of a setting. Each function raises ValueError with the expected form."""

from __future__ import annotations

import re
import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})
BUCKET_FOLDER = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[^,\\\x00-\x1f]+)?")
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def text(value: str) -> str:
    return value.strip()


def flag(value: str) -> bool:
    word = value.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("use true or false")


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Any]:
    what = "a whole number" if kind is int else "a number"

    def parse(value: str) -> int | float:
        try:
            number = kind(value)
        except ValueError:
            raise ValueError(f"give {what} between {_plain(low)} and {_plain(high)}") from None
        if not low <= number <= high:  # also refuses nan
            raise ValueError(f"must lie between {_plain(low)} and {_plain(high)}")
        return number

    return parse


def _plain(number: float) -> str:
    """Without an exponent."""
    return f"{number:.0f}" if number == int(number) else f"{number:g}"


def choice(options: Iterable[str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in options:
            raise ValueError(f"choose one of {', '.join(options)}")
        return word

    return parse


def bucket_folders(value: str) -> tuple[str, ...]:
    """`bucket` or `bucket/folder`, separated by commas."""
    found = tuple(part.strip().strip("/") for part in value.split(",") if part.strip())
    for place in found:
        if not BUCKET_FOLDER.fullmatch(place) or any(part in ("", ".", "..") for part in place.split("/")):
            raise ValueError("give names of buckets, or bucket/folder, separated by commas")
    return found


def model_name(value: str) -> str:
    if not MODEL_NAME.fullmatch(value.strip()):
        raise ValueError("a model name consists of letters, digits, _, . and -")
    return value.strip()


def one_model(value: str) -> str:
    name = model_name(value)
    if name == "all":
        raise ValueError("name one model; MSAAS_MODELS takes all")
    return name


def model_names(value: str) -> tuple[str, ...]:
    return tuple(model_name(name) for name in value.split(",") if name.strip())


def accepted_names(value: str) -> frozenset[str]:
    names = frozenset(model_names(value))
    if "all" in names:
        raise ValueError("name each model: licences are accepted one by one")
    return names


def path(value: str) -> Path | None:
    return expanded(value) if value.strip() else None


def folder(value: str) -> Path:
    return expanded(value or tempfile.gettempdir())


def expanded(path: str) -> Path:
    """Expands ~ as a shell does. Raises ValueError if there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path.partition('/')[0]} is not a home folder on this machine") from None


def address(default_port: int) -> Callable[[str], str]:
    """`host`, `host:port` or `[v6]:port` ▸ `host:port`. Schemes are refused: MINIO_SECURE chooses http or https."""

    def parse(value: str) -> str:
        if "/" in value or not value.strip():
            raise ValueError("give host or host:port, no scheme and no path")
        parts, port = _split(f"//{value.strip()}", "give host or host:port")
        if not parts.hostname or port == 0:
            raise ValueError("give host or host:port")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{host}:{port or default_port}"

    return parse


def redis_address(default_port: int, sentinel_port: int) -> Callable[[str], str]:
    """`host[:port]` or `redis://…` ▸ `host:port`; `rediss://host[:port]` and `redis[s]+sentinel://host[:port],…/name` ▸
    the same with ports."""
    server, sentinel = address(default_port), address(sentinel_port)
    wanted = "give host or host:port, rediss://host:port for TLS, or redis[s]+sentinel://host:port,host:port/name"

    def parse(value: str) -> str:
        scheme, separator, place = value.strip().rpartition("://")
        if not separator or scheme in ("redis", "rediss"):
            return ("rediss://" if scheme == "rediss" else "") + server(place)
        hosts, _, name = place.partition("/")
        if scheme not in ("redis+sentinel", "rediss+sentinel") or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            raise ValueError(wanted)
        return f"{scheme}://{','.join(sentinel(host) for host in hosts.split(','))}/{name}"

    return parse


def certificates(value: str) -> Path | None:
    """A file of certificates in PEM, which is read at once."""
    found = path(value)
    if found is not None:
        try:
            ssl.create_default_context(cafile=str(found))
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"cannot be read as certificates (PEM): {error}") from None
    return found


def _split(url: str, wanted: str) -> tuple[SplitResult, int | None]:
    """The parts of a URL, and its port. Raises ValueError(wanted) for an invalid host or port: urlsplit's own messages
    are about casting and netloc."""
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise ValueError(f"{wanted}; a port is a number from 1 to 65535") from None


def ports(value: str) -> frozenset[int]:
    parse = number(int, 1, 65535)
    return frozenset(parse(part) for part in value.split(",") if part.strip())


def base_url(value: str) -> str:
    """Without a trailing slash, since paths that begin with one are appended."""
    text = value.strip().rstrip("/")
    wanted = "give http(s)://host[:port][/path]"
    parts, _ = _split(text, wanted)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError(wanted)
    return text


def server_url(value: str) -> str:
    """A base URL without a path: the path that is signed begins with the bucket."""
    text = base_url(value)
    if text and (parts := urlsplit(text)).path:
        raise ValueError(f"give {parts.scheme}://{parts.netloc} without a path")
    return text
