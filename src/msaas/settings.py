"""Every setting, read once from the environment, typed, refused where wrong. Nothing else reads the environment.

`REDIS_HOST` and `MINIO_HOST` take `host` or `host:port`. `REDIS_PORT` and `MINIO_PORT` are never read: Kubernetes
injects `REDIS_PORT=tcp://…` for a Service called redis.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from msaas.auth.keys import Key, parse_keys
from msaas.auth.origins import parse_origins
from msaas.callbacks.addresses import Network, parse_networks
from msaas.callbacks.signing import Secret, parse_secrets
from msaas.errors import SettingsError

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off", ""})
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32")
HIDDEN = ("KEY", "PASSWORD", "SECRET")  # settings so named are never shown
LOG_LEVELS = ("debug", "info", "warning", "error")
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _text(value: str) -> str:
    return value.strip()


def _flag(value: str) -> bool:
    word = value.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("use true or false")


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Any]:
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
    """Without an exponent, which nobody would type."""
    return f"{number:.0f}" if number == int(number) else f"{number:g}"


def _choice(options: Iterable[str]) -> Callable[[str], str]:
    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in options:
            raise ValueError(f"choose one of {', '.join(options)}")
        return word

    return parse


def _model_name(value: str) -> str:
    if not MODEL_NAME.fullmatch(value.strip()):
        raise ValueError("a model's name has letters, digits, _ . and - only")
    return value.strip()


def _model_names(value: str) -> tuple[str, ...]:
    return tuple(_model_name(name) for name in value.split(",") if name.strip())


def _path(value: str) -> Path | None:
    return expanded(value) if value.strip() else None


def _folder(value: str) -> Path:
    return expanded(value or tempfile.gettempdir())


def expanded(path: str) -> Path:
    """With the ~ of a shell. Raises ValueError where there is no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(f"{path.partition('/')[0]} is no home folder here") from None


def _address(default_port: int) -> Callable[[str], str]:
    """`host`, `host:port` or `[v6]:port` ▸ `host:port`. Schemes are refused: MINIO_SECURE says http or https."""

    def parse(value: str) -> str:
        if "/" in value or not value.strip():
            raise ValueError("give host or host:port, no scheme and no path")
        parts, port = _split(f"//{value.strip()}", "give host or host:port")
        if not parts.hostname or port == 0:
            raise ValueError("give host or host:port")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return f"{host}:{port or default_port}"

    return parse


def _split(url: str, wanted: str) -> tuple[SplitResult, int | None]:
    """The parts of a URL, and its port. Raises ValueError, which says what is wanted, for a port or a host that is
    none: urlsplit's own messages speak of casting and of netloc."""
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        raise ValueError(f"{wanted}; a port is a number from 1 to 65535") from None


def _ports(value: str) -> frozenset[int]:
    parse = _number(int, 1, 65535)
    return frozenset(parse(part) for part in value.split(",") if part.strip())


def _base_url(value: str) -> str:
    """Without a slash at its end, since paths that begin with one are put behind it."""
    text = value.strip().rstrip("/")
    wanted = "give http(s)://host[:port][/path]"
    parts, _ = _split(text, wanted)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError(wanted)
    return text


def _server_url(value: str) -> str:
    """A base URL without a path: what is signed for the store begins with the bucket."""
    text = _base_url(value)
    if text and (parts := urlsplit(text)).path:
        raise ValueError(f"give {parts.scheme}://{parts.netloc} alone")
    return text


def _setting(name: str, default: str, parse: Callable[[str], Any], unit: str, help_: str) -> Any:
    meta = {"name": name, "default": default, "parse": parse, "unit": unit, "help": help_}
    return field(default_factory=lambda: parse(default), metadata=meta)


@dataclass(frozen=True)
class Settings:
    """One field a setting; the metadata is what the README's table is held to."""

    redis_host: str = _setting("REDIS_HOST", "localhost:6379", _address(6379), "host[:port]", "Redis or Valkey")
    redis_password: str = _setting("MSAAS_REDIS_PASSWORD", "", _text, "", "its password; empty where it asks for none")
    minio_host: str = _setting("MINIO_HOST", "localhost:9000", _address(9000), "host[:port]", "MinIO or any S3 server")
    minio_access_key: str = _setting("MINIO_ACCESS_KEY", "minioadmin", _text, "", "its access key")
    minio_secret_key: str = _setting("MINIO_SECRET_KEY", "minioadmin", _text, "", "its secret key")
    minio_secure: bool = _setting("MINIO_SECURE", "false", _flag, "bool", "speak TLS to it")

    host: str = _setting("MSAAS_HOST", "127.0.0.1", _text, "address", "address the API binds to")
    port: int = _setting("MSAAS_PORT", "5000", _number(int, 1, 65535), "port", "port the API binds to")
    url: str = _setting(
        "MSAAS_URL", "http://localhost:5000", _text, "URL", "where clients (sample-requests.py) find the API"
    )
    api_key: str = _setting(
        "MSAAS_API_KEY", "", _text, "key", "what clients show the API; the API reads MSAAS_API_KEYS"
    )
    threads: int = _setting("MSAAS_THREADS", "32", _number(int, 2, 1024), "threads", "request threads of the API")
    max_connections: int = _setting(
        "MSAAS_MAX_CONNECTIONS",
        "4000",
        _number(int, 16, 100_000),
        "connections",
        "open at once; beyond, the address that holds the most loses its oldest",
    )
    max_requests_per_caller: int = _setting(
        "MSAAS_MAX_REQUESTS_PER_CALLER",
        "128",
        _number(int, 1, 100_000),
        "requests",
        "under way at once of a key (without keys: an address), event streams apart",
    )
    header_seconds: float = _setting(
        "MSAAS_HEADER_SECONDS", "10", _number(float, 0.1, 300), "seconds", "a request's headers may take so long"
    )
    slow_client_seconds: float = _setting(
        "MSAAS_SLOW_CLIENT_SECONDS",
        "120",
        _number(float, 0.1, 300),
        "seconds",
        "a client that sends or takes nothing for so long is dropped; the window that the rate is measured over",
    )
    slow_client_bytes_per_second: float = _setting(
        "MSAAS_SLOW_CLIENT_BYTES_PER_SECOND",
        "4000",
        _number(float, 1, 10**9),
        "bytes a second",
        "the least rate of an upload or download, on average",
    )
    max_upload_bytes: int = _setting(
        "MSAAS_MAX_UPLOAD_BYTES",
        "200000000",
        _number(int, 1, 10**12),
        "bytes",
        "largest song, decoded from base64",
    )
    max_duration_seconds: float = _setting(
        "MSAAS_MAX_DURATION_SECONDS", "14400", _number(float, 0.001, 10**6), "seconds", "longest song"
    )
    max_decoded_bytes: int = _setting(
        "MSAAS_MAX_DECODED_BYTES",
        "16000000000",
        _number(int, 1, 10**13),
        "bytes",
        "most PCM a song may decode to",
    )
    probe_cpu_seconds: int = _setting(
        "MSAAS_PROBE_CPU_SECONDS",
        "2",
        _number(int, 1, 3600),
        "seconds",
        "processor time that looking at an uploaded song may take",
    )
    debug_endpoints: bool = _setting(
        "MSAAS_DEBUG_ENDPOINTS", "false", _flag, "bool", "allow the calls that empty the buckets"
    )

    api_keys: tuple[Key, ...] = _setting(
        "MSAAS_API_KEYS",
        "",
        parse_keys,
        "hashed keys",
        "who may call the API, as `msaas keys new` prints them, by commas or line ends; empty lets everybody in",
    )
    rate_limit_per_minute: int = _setting(
        "MSAAS_RATE_LIMIT_PER_MINUTE",
        "0",
        _number(int, 0, 10**6),
        "posts",
        "songs a key (without keys: an address) may post a minute; 60 times as many other calls; 0 for no limit",
    )
    daily_audio_minutes: float = _setting(
        "MSAAS_DAILY_AUDIO_MINUTES",
        "0",
        _number(float, 0, 10**7),
        "minutes",
        "audio that a key (without keys: an address) may have separated in 24 hours; 0 for no limit",
    )
    max_queue: int = _setting(
        "MSAAS_MAX_QUEUE", "10000", _number(int, 0, 10**9), "songs", "songs that may wait; 0 for no limit"
    )
    max_songs_per_caller: int = _setting(
        "MSAAS_MAX_SONGS_PER_CALLER",
        "5000",
        _number(int, 0, 10**9),
        "songs",
        "songs of a key (without keys: an address) that may wait or run; 0 for no limit",
    )
    trusted_proxies: int = _setting(
        "MSAAS_TRUSTED_PROXIES",
        "0",
        _number(int, 0, 16),
        "proxies",
        "proxies in front of the API whose X-Forwarded-For tells a caller's address",
    )
    cors_origins: frozenset[str] = _setting(
        "MSAAS_CORS_ORIGINS", "", parse_origins, "origins", "whose pages may call the API from a browser, by commas"
    )

    public_url: str = _setting(
        "MSAAS_PUBLIC_URL", "", _base_url, "URL", "where callbacks' receivers find the API; empty for links without it"
    )
    s3_public_url: str = _setting(
        "MSAAS_S3_PUBLIC_URL",
        "",
        _server_url,
        "URL",
        "where clients reach the store, for `?redirect=1` of a track; empty refuses it",
    )
    s3_link_seconds: int = _setting(
        "MSAAS_S3_LINK_SECONDS", "60", _number(int, 1, 604_800), "seconds", "how long such a link may be followed"
    )
    callback_secrets: tuple[Secret, ...] = _setting(
        "MSAAS_CALLBACK_SECRETS",
        "",
        parse_secrets,
        "secrets",
        "whsec_…, by commas: each signs every callback; empty sends them unsigned",
    )
    callback_ports: frozenset[int] = _setting(
        "MSAAS_CALLBACK_PORTS", "80,443,5000,8080,8443", _ports, "ports", "what a callback may name, by commas"
    )
    callback_allow: tuple[Network, ...] = _setting(
        "MSAAS_CALLBACK_ALLOW",
        "",
        parse_networks,
        "CIDRs",
        "networks that are not public and may be called all the same, on every port, by commas",
    )

    model: str = _setting("MSAAS_MODEL", "htdemucs", _model_name, "name", "model of a request that names none")
    models: tuple[str, ...] = _setting(
        "MSAAS_MODELS",
        "",
        _model_names,
        "names",
        "models a request may name, by commas; MSAAS_MODEL is always one",
    )
    model_repo: Path | None = _setting(
        "MSAAS_MODEL_REPO", "", _path, "folder", "weights on disk, looked in before caches and hubs"
    )
    device: str = _setting("MSAAS_DEVICE", "auto", _choice(DEVICES), "", "auto takes CUDA, else MPS, else CPU")
    batch: int = _setting(
        "MSAAS_BATCH",
        "0",
        _number(int, 0, 256),
        "segments",
        "segments a forward pass; 0 lets the device choose",
    )
    cpu_threads: int = _setting(
        "MSAAS_CPU_THREADS",
        "0",
        _number(int, 0, 1024),
        "threads",
        "torch's threads; 0 leaves the choice to torch",
    )
    precision: str = _setting(
        "MSAAS_PRECISION",
        "auto",
        _choice(PRECISIONS),
        "",
        "fp32 equals Demucs to 1e-4; auto is the fastest within 40 dB of it, checked at load",
    )

    decoder_memory_bytes: int = _setting(
        "MSAAS_DECODER_MEMORY_BYTES",
        "1000000000",
        _number(int, 50_000_000, 10**12),
        "bytes",
        "address space the decoding of a song may take",
    )
    child_memory_bytes: int = _setting(
        "MSAAS_CHILD_MEMORY_BYTES",
        "0",
        _number(int, 0, 10**13),
        "bytes",
        "memory the separation process may take; 0 leaves it to the container's limit",
    )

    lease_seconds: float = _setting(
        "MSAAS_LEASE_SECONDS",
        "30",
        _number(float, 0.5, 3600),
        "seconds",
        "a job unheard of this long is taken back",
    )
    heartbeat_seconds: float = _setting(
        "MSAAS_HEARTBEAT_SECONDS",
        "1",
        _number(float, 0.05, 600),
        "seconds",
        "how often a worker renews its lease, reports progress and notices a cancel",
    )
    max_attempts: int = _setting(
        "MSAAS_MAX_ATTEMPTS", "3", _number(int, 1, 100), "runs", "runs before a job is given up"
    )
    storage_refusal_seconds: float = _setting(
        "MSAAS_STORAGE_REFUSAL_SECONDS",
        "600",
        _number(float, 0.1, 86400),
        "seconds",
        "a job is given up, to be replayed, once the store has refused its song or stems for so long",
    )
    scratch_free_bytes: int = _setting(
        "MSAAS_SCRATCH_FREE_BYTES",
        "500000000",
        _number(int, 0, 10**13),
        "bytes",
        "a worker with less room for temporary files claims nothing",
    )
    stall_seconds: float = _setting(
        "MSAAS_STALL_SECONDS",
        "300",
        _number(float, 1, 86400),
        "seconds",
        "a run without progress this long is ended",
    )
    grace_seconds: float = _setting(
        "MSAAS_GRACE_SECONDS",
        "20",
        _number(float, 0, 86400),
        "seconds",
        "time a worker may finish its job on SIGTERM",
    )
    retention_hours: float = _setting(
        "MSAAS_RETENTION_HOURS",
        "0",
        _number(float, 0, 10**6),
        "hours",
        "an ended job is deleted after so long, with its song and stems; the same on every part; 0 keeps all",
    )
    worker_http_port: int = _setting(
        "MSAAS_WORKER_HTTP_PORT",
        "8081",
        _number(int, 0, 65535),
        "port",
        "the worker's health checks; 0 for none, which the local stack takes for any",
    )
    scratch_dir: Path = _setting(
        "MSAAS_SCRATCH_DIR", "", _folder, "folder", "temporary files; empty for the system's own place"
    )
    log_level: str = _setting("MSAAS_LOG_LEVEL", "info", _choice(LOG_LEVELS), "", "debug, info, warning or error")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Reads every setting. Raises SettingsError naming the variable, its value and what it may be."""
        known = {f.metadata["name"]: f for f in fields(cls)}
        for name in environ:
            if name.startswith("MSAAS_") and name not in known:
                raise SettingsError(f"{name} is no setting of MSaaS; `msaas settings` lists them")
        values = {f.name: _read(f.metadata, environ) for f in known.values() if f.metadata["name"] in environ}
        return cls(**values)._checked()

    def _checked(self) -> Settings:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise SettingsError(
                f"MSAAS_HEARTBEAT_SECONDS={self.heartbeat_seconds:g} is more than half of"
                f" MSAAS_LEASE_SECONDS={self.lease_seconds:g}: one late heartbeat would lose the job"
            )
        return self

    @property
    def allowed_models(self) -> tuple[str, ...]:
        """What a request may name, the default first."""
        return tuple(dict.fromkeys((self.model, *self.models)))


def without_credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """For processes that read strangers' files: what is not there cannot be given away."""
    return {name: value for name, value in environ.items() if not any(word in name.upper() for word in HIDDEN)}


def _read(meta: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    value = environ[meta["name"]]
    try:
        return meta["parse"](value)
    except ValueError as error:
        shown = "(hidden)" if any(word in meta["name"] for word in HIDDEN) else repr(value)
        raise SettingsError(f"{meta['name']}={shown} is not usable: {error}") from error


def describe() -> list[dict[str, str]]:
    """Name, default, unit and help of each setting, in the order of the README's table."""
    keys = ("name", "default", "unit", "help")
    return [{key: str(f.metadata[key]) for key in keys} for f in fields(Settings)]
