"""Every setting: typed, read once from the environment, checked at start. Nothing else reads the environment.

`REDIS_HOST` and `MINIO_HOST` take `host` or `host:port`; `REDIS_HOST` also takes URLs that name TLS and Sentinels.
`REDIS_PORT` and `MINIO_PORT` are never read: Kubernetes injects `REDIS_PORT=tcp://…` for a Service called redis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from msaas.catalogue import LicenceRule
from msaas.errors import SettingsError
from msaas.options import QUALITIES
from msaas.settings.api_keys import Key, parse_keys
from msaas.settings.callback_secrets import Secret, parse_secrets
from msaas.settings.fetching import FetchSettings
from msaas.settings.field import read, setting
from msaas.settings.networks import Network, parse_networks
from msaas.settings.origins import parse_origins
from msaas.settings.parsers import (
    accepted_names,
    address,
    base_url,
    certificates,
    choice,
    flag,
    folder,
    model_names,
    number,
    one_model,
    path,
    ports,
    redis_address,
    server_url,
    text,
)
from msaas.settings.separating import SeparationSettings
from msaas.settings.uploads import UploadSettings

ALL_MODELS = "all"
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Settings(FetchSettings, SeparationSettings, UploadSettings):
    """One field per setting; a test compares the metadata with the table in the docs."""

    redis_host: str = setting(
        "REDIS_HOST",
        "localhost:6379",
        redis_address(6379, 26379),
        "address",
        "Redis or Valkey: host[:port], rediss://host[:port] for TLS, or redis[s]+sentinel://host[:port],host[:port]/name",
    )
    redis_password: str = setting("MSAAS_REDIS_PASSWORD", "", text, "", "password of Redis; empty if it needs none")
    redis_sentinel_password: str = setting(
        "MSAAS_REDIS_SENTINEL_PASSWORD", "", text, "", "password of the Sentinels; empty if they need none"
    )
    redis_replicas: int = setting(
        "MSAAS_REDIS_REPLICAS",
        "0",
        number(int, 0, 10),
        "replicas",
        "of Redis that must have a new song before its post is answered; too few: 503",
    )
    ca_file: Path | None = setting(
        "MSAAS_CA_FILE",
        "",
        certificates,
        "file",
        "certificates (PEM) that Redis and the S3 server are checked against over TLS, instead of the system's",
    )
    minio_host: str = setting(
        "MINIO_HOST", "localhost:9000", address(9000), "host[:port]", "address of MinIO or another S3 server"
    )
    minio_access_key: str = setting("MINIO_ACCESS_KEY", "minioadmin", text, "", "S3 access key")
    minio_secret_key: str = setting("MINIO_SECRET_KEY", "minioadmin", text, "", "S3 secret key")
    minio_secure: bool = setting("MINIO_SECURE", "false", flag, "bool", "use TLS to the S3 server")

    host: str = setting("MSAAS_HOST", "127.0.0.1", text, "address", "address the API binds to")
    port: int = setting("MSAAS_PORT", "5000", number(int, 1, 65535), "port", "port the API binds to")
    url: str = setting(
        "MSAAS_URL",
        "http://localhost:5000",
        text,
        "URL",
        "where clients (the command line, sample-requests.py) find the API",
    )
    api_key: str = setting(
        "MSAAS_API_KEY", "", text, "key", "key that clients send; the API itself reads MSAAS_API_KEYS"
    )
    threads: int = setting("MSAAS_THREADS", "32", number(int, 2, 1024), "threads", "request threads of the API")
    max_connections: int = setting(
        "MSAAS_MAX_CONNECTIONS",
        "4000",
        number(int, 16, 100_000),
        "connections",
        "open connections; above this, the client address with the most loses its oldest",
    )
    max_requests_per_caller: int = setting(
        "MSAAS_MAX_REQUESTS_PER_CALLER",
        "128",
        number(int, 1, 100_000),
        "requests",
        "concurrent requests per API key (per address without keys), event streams not counted",
    )
    header_seconds: float = setting(
        "MSAAS_HEADER_SECONDS",
        "10",
        number(float, 0.1, 300),
        "seconds",
        "time limit for receiving a request's headers",
    )
    slow_client_seconds: float = setting(
        "MSAAS_SLOW_CLIENT_SECONDS",
        "120",
        number(float, 0.1, 300),
        "seconds",
        "idle time after which a connection is dropped; also the window over which the minimum rate is measured",
    )
    slow_client_bytes_per_second: float = setting(
        "MSAAS_SLOW_CLIENT_BYTES_PER_SECOND",
        "4000",
        number(float, 1, 10**9),
        "bytes a second",
        "minimum average rate of an upload or download",
    )
    max_upload_bytes: int = setting(
        "MSAAS_MAX_UPLOAD_BYTES", "200000000", number(int, 1, 10**12), "bytes", "largest song, after base64 decoding"
    )
    max_duration_seconds: float = setting(
        "MSAAS_MAX_DURATION_SECONDS", "14400", number(float, 0.001, 10**6), "seconds", "longest song"
    )
    max_decoded_bytes: int = setting(
        "MSAAS_MAX_DECODED_BYTES", "16000000000", number(int, 1, 10**13), "bytes", "largest song, decoded to PCM"
    )
    probe_cpu_seconds: int = setting(
        "MSAAS_PROBE_CPU_SECONDS", "2", number(int, 1, 3600), "seconds", "CPU time for probing an uploaded song"
    )
    debug_endpoints: bool = setting(
        "MSAAS_DEBUG_ENDPOINTS", "false", flag, "bool", "enable the calls that empty the buckets"
    )

    api_keys: tuple[Key, ...] = setting(
        "MSAAS_API_KEYS",
        "",
        parse_keys,
        "hashed keys",
        "keys as printed by `msaas keys new`, comma- or newline-separated; empty disables authentication",
    )
    rate_limit_per_minute: int = setting(
        "MSAAS_RATE_LIMIT_PER_MINUTE",
        "0",
        number(int, 0, 10**6),
        "posts",
        "uploads a minute per API key (per address without keys), and 60 times as many other calls; 0 for no limit",
    )
    daily_audio_minutes: float = setting(
        "MSAAS_DAILY_AUDIO_MINUTES",
        "0",
        number(float, 0, 10**7),
        "minutes",
        "audio separated in 24 hours per API key (per address without keys); 0 for no limit",
    )
    max_queue: int = setting(
        "MSAAS_MAX_QUEUE", "10000", number(int, 0, 10**9), "songs", "longest queue; 0 for no limit"
    )
    max_songs_per_caller: int = setting(
        "MSAAS_MAX_SONGS_PER_CALLER",
        "5000",
        number(int, 0, 10**9),
        "songs",
        "queued and running songs per API key (per address without keys); 0 for no limit",
    )
    trusted_proxies: int = setting(
        "MSAAS_TRUSTED_PROXIES",
        "0",
        number(int, 0, 16),
        "proxies",
        "number of proxies in front of the API whose X-Forwarded-For is trusted",
    )
    cors_origins: frozenset[str] = setting(
        "MSAAS_CORS_ORIGINS", "", parse_origins, "origins", "web origins whose pages may call the API, comma-separated"
    )

    public_url: str = setting(
        "MSAAS_PUBLIC_URL", "", base_url, "URL", "base URL of the API for links in callbacks; empty for relative links"
    )
    s3_public_url: str = setting(
        "MSAAS_S3_PUBLIC_URL",
        "",
        server_url,
        "URL",
        "URL where clients reach the S3 server, for `?redirect=1` of a track; empty disables it",
    )
    s3_link_seconds: int = setting(
        "MSAAS_S3_LINK_SECONDS", "60", number(int, 1, 604_800), "seconds", "lifetime of a link to the S3 server"
    )
    callback_secrets: tuple[Secret, ...] = setting(
        "MSAAS_CALLBACK_SECRETS",
        "",
        parse_secrets,
        "secrets",
        "signing secrets (whsec_…), comma-separated; each signs every callback; empty sends callbacks unsigned",
    )
    callback_ports: frozenset[int] = setting(
        "MSAAS_CALLBACK_PORTS",
        "80,443,5000,8080,8443",
        ports,
        "ports",
        "ports that a callback URL may use, comma-separated",
    )
    callback_allow: tuple[Network, ...] = setting(
        "MSAAS_CALLBACK_ALLOW",
        "",
        parse_networks,
        "CIDRs",
        "private networks that callbacks may reach, on any port, comma-separated",
    )

    model: str = setting("MSAAS_MODEL", "htdemucs", one_model, "name", "default model")
    models: tuple[str, ...] = setting(
        "MSAAS_MODELS",
        "",
        model_names,
        "names",
        "models that a request may choose, comma-separated; MSAAS_MODEL is always included; all: all that workers have",
    )
    accept_unlicensed: frozenset[str] = setting(
        "MSAAS_ACCEPT_UNLICENSED",
        "",
        accepted_names,
        "names",
        "models of the catalogue that may be used although their weights have no stated licence, comma-separated",
    )
    model_repo: Path | None = setting(
        "MSAAS_MODEL_REPO", "", path, "folder", "folder of weights, searched before caches and model hubs"
    )
    model_cache_bytes: int = setting(
        "MSAAS_MODEL_CACHE_BYTES",
        "0",
        number(int, 0, 10**13),
        "bytes",
        "models that a worker keeps loaded; 0 keeps one",
    )
    loaded_first_songs: int = setting(
        "MSAAS_LOADED_FIRST_SONGS",
        "4",
        number(int, 0, 10**6),
        "songs",
        "songs of loaded models that may overtake a song of another; 0 keeps the queue's order",
    )
    decoder_memory_bytes: int = setting(
        "MSAAS_DECODER_MEMORY_BYTES",
        "1000000000",
        number(int, 50_000_000, 10**12),
        "bytes",
        "address space of the process that decodes a song",
    )
    child_memory_bytes: int = setting(
        "MSAAS_CHILD_MEMORY_BYTES",
        "0",
        number(int, 0, 10**13),
        "bytes",
        "memory limit of the separation process; 0 leaves it to the container",
    )

    lease_seconds: float = setting(
        "MSAAS_LEASE_SECONDS",
        "30",
        number(float, 0.5, 3600),
        "seconds",
        "a job with no heartbeat for this long is requeued",
    )
    heartbeat_seconds: float = setting(
        "MSAAS_HEARTBEAT_SECONDS",
        "1",
        number(float, 0.05, 600),
        "seconds",
        "interval at which a worker renews its lease, reports progress and checks for cancellation",
    )
    max_attempts: int = setting(
        "MSAAS_MAX_ATTEMPTS", "3", number(int, 1, 100), "runs", "attempts before a job is dead-lettered"
    )
    storage_refusal_seconds: float = setting(
        "MSAAS_STORAGE_REFUSAL_SECONDS",
        "600",
        number(float, 0.1, 86400),
        "seconds",
        "a job is dead-lettered after the S3 server has refused its song or stems for this long",
    )
    scratch_free_bytes: int = setting(
        "MSAAS_SCRATCH_FREE_BYTES",
        "500000000",
        number(int, 0, 10**13),
        "bytes",
        "a worker with less free scratch space claims no job",
    )
    stall_seconds: float = setting(
        "MSAAS_STALL_SECONDS",
        "300",
        number(float, 1, 86400),
        "seconds",
        "a run with no progress for this long is stopped, also while it loads its model; the start of the separation "
        "process has 300 seconds, or this if longer",
    )
    grace_seconds: float = setting(
        "MSAAS_GRACE_SECONDS",
        "20",
        number(float, 0, 86400),
        "seconds",
        "time for a worker to finish its job after SIGTERM",
    )
    share_days: float = setting(
        "MSAAS_SHARE_DAYS",
        "30",
        number(float, 0, 3650),
        "days",
        "longest life of a link by which a song is read without a key; 0: there are no such links",
    )
    retention_hours: float = setting(
        "MSAAS_RETENTION_HOURS",
        "0",
        number(float, 0, 10**6),
        "hours",
        "a finished job is deleted after this long, with its song and stems; set API and workers alike; 0 keeps all",
    )
    worker_http_port: int = setting(
        "MSAAS_WORKER_HTTP_PORT",
        "8081",
        number(int, 0, 65535),
        "port",
        "port of the worker's health checks; 0 disables them (in the local stack: any free port)",
    )
    scratch_dir: Path = setting(
        "MSAAS_SCRATCH_DIR", "", folder, "folder", "folder for temporary files; empty for the system default"
    )
    log_level: str = setting("MSAAS_LOG_LEVEL", "info", choice(LOG_LEVELS), "", "debug, info, warning or error")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Reads every setting. Raises SettingsError with the variable, its value and the values it takes."""
        known = {f.metadata["name"]: f for f in fields(cls)}
        for name in environ:
            if name.startswith("MSAAS_") and name not in known:
                raise SettingsError(f"{name} is not a setting of MSaaS; `msaas settings` lists them")
        values = {f.name: read(f.metadata, environ) for f in known.values() if f.metadata["name"] in environ}
        return cls(**values)._checked()

    def _checked(self) -> Settings:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise SettingsError(
                f"MSAAS_HEARTBEAT_SECONDS={self.heartbeat_seconds:g} is more than half of"
                f" MSAAS_LEASE_SECONDS={self.lease_seconds:g}: one late heartbeat would lose the lease"
            )
        for name in self.allowed_models:
            if refusal := self.licence_rule.refusal(name):
                raise SettingsError(refusal)
        for quality, options in self.qualities.items():
            model = options.get("model", self.model)
            if model not in self.allowed_models and not self.all_models:
                raise SettingsError(f"MSAAS_QUALITY_{quality.upper()} names {model}, which is not in MSAAS_MODELS")
        return self

    @property
    def allowed_models(self) -> tuple[str, ...]:
        """Models that a request may choose by name, the default first; with `all_models`, there are more."""
        return tuple(name for name in dict.fromkeys((self.model, *self.models)) if name != ALL_MODELS)

    @property
    def all_models(self) -> bool:
        """Whether a request may choose every model that the workers have."""
        return ALL_MODELS in self.models

    @property
    def licence_rule(self) -> LicenceRule:
        return LicenceRule(self.accept_unlicensed)

    @property
    def qualities(self) -> dict[str, Mapping[str, Any]]:
        """The options that each quality stands for."""
        return dict(zip(QUALITIES, (self.quality_fast, self.quality_balanced, self.quality_best), strict=True))


def describe() -> list[dict[str, str]]:
    """Name, default, unit and help of each setting, in the order of the table in the docs."""
    keys = ("name", "default", "unit", "help")
    return [{key: str(f.metadata[key]) for key in keys} for f in fields(Settings)]
