"""`msaas settings`: every setting with its default, as text or as the tables of docs/settings.md."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from msaas.settings import describe

Row = Mapping[str, str]
# By who sets them; a test checks that each setting is in exactly one group.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Clients": ("MSAAS_URL", "MSAAS_API_KEY"),
    "Everyone who runs MSaaS": (
        *("MSAAS_HOST", "MSAAS_PORT", "MSAAS_MODEL", "MSAAS_MODELS", "MSAAS_MODEL_REPO"),
        "MSAAS_ACCEPT_UNLICENSED",
        *("MSAAS_QUALITY_FAST", "MSAAS_QUALITY_BALANCED", "MSAAS_QUALITY_BEST"),
        "MSAAS_ANALYSIS",
        *("MSAAS_DEVICE", "MSAAS_PRECISION", "MSAAS_BATCH", "MSAAS_LANES", "MSAAS_CPU_THREADS"),
        "MSAAS_SONGS_IN_FLIGHT",
        *("MSAAS_SCRATCH_DIR", "MSAAS_LOG_LEVEL", "MSAAS_RETENTION_HOURS"),
    ),
    "Operators: addresses and credentials": (
        *("REDIS_HOST", "MSAAS_REDIS_PASSWORD", "MSAAS_REDIS_SENTINEL_PASSWORD", "MSAAS_REDIS_REPLICAS"),
        *("MINIO_HOST", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "MINIO_SECURE", "MSAAS_CA_FILE"),
        *("MSAAS_PUBLIC_URL", "MSAAS_S3_PUBLIC_URL", "MSAAS_S3_LINK_SECONDS"),
        *("MSAAS_TRUSTED_PROXIES", "MSAAS_WORKER_HTTP_PORT"),
    ),
    "Operators: access and quotas": (
        *(
            "MSAAS_API_KEYS",
            "MSAAS_CORS_ORIGINS",
            "MSAAS_SHARE_DAYS",
            "MSAAS_RATE_LIMIT_PER_MINUTE",
            "MSAAS_DAILY_AUDIO_MINUTES",
        ),
        *("MSAAS_MAX_QUEUE", "MSAAS_MAX_SONGS_PER_CALLER", "MSAAS_DEBUG_ENDPOINTS"),
    ),
    "Operators: callbacks": ("MSAAS_CALLBACK_SECRETS", "MSAAS_CALLBACK_PORTS", "MSAAS_CALLBACK_ALLOW"),
    "Operators: songs by address": (
        *("MSAAS_FETCH", "MSAAS_FETCH_ALLOW", "MSAAS_FETCH_PORTS", "MSAAS_FETCH_BUCKETS", "MSAAS_FETCH_SECONDS"),
        "MSAAS_FETCHERS",
    ),
    "Operators: limits for songs": (
        *("MSAAS_MAX_UPLOAD_BYTES", "MSAAS_MAX_DURATION_SECONDS", "MSAAS_MAX_DECODED_BYTES"),
        *("MSAAS_PROBE_CPU_SECONDS", "MSAAS_DECODER_MEMORY_BYTES", "MSAAS_CHILD_MEMORY_BYTES"),
        "MSAAS_SCRATCH_FREE_BYTES",
        *("MSAAS_UPLOAD_HOURS", "MSAAS_MAX_UNFINISHED_UPLOADS", "MSAAS_MAX_UNFINISHED_UPLOAD_BYTES"),
    ),
    "Operators: several models": ("MSAAS_MODEL_CACHE_BYTES", "MSAAS_LOADED_FIRST_SONGS"),
    "Operators: mixes": ("MSAAS_MIXERS",),
    "Rarely changed: connections": (
        *("MSAAS_THREADS", "MSAAS_MAX_CONNECTIONS", "MSAAS_MAX_REQUESTS_PER_CALLER", "MSAAS_HEADER_SECONDS"),
        *("MSAAS_SLOW_CLIENT_SECONDS", "MSAAS_SLOW_CLIENT_BYTES_PER_SECOND"),
    ),
    "Rarely changed: recovery": (
        *("MSAAS_LEASE_SECONDS", "MSAAS_HEARTBEAT_SECONDS", "MSAAS_MAX_ATTEMPTS", "MSAAS_STORAGE_REFUSAL_SECONDS"),
        *("MSAAS_STALL_SECONDS", "MSAAS_GRACE_SECONDS"),
    ),
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("settings", help="list all settings")
    parser.add_argument("--markdown", action="store_true", help="as the tables of docs/settings.md")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    rows = describe()
    print(markdown_tables(rows) if args.markdown else "\n".join(map(_as_text, rows)))
    return 0


def _as_text(row: Row) -> str:
    unit = f" ({row['unit']})" if row["unit"] not in ("", "bool") else ""
    return f"{row['name']:<28} {row['help']}\n{'':<28} default: {row['default'] or 'empty'}{unit}"


def markdown_tables(rows: Sequence[Row]) -> str:
    """A heading and a table for each group."""
    by_name = {row["name"]: row for row in rows}
    return "\n\n".join(f"## {title}\n\n{_table([by_name[name] for name in names])}" for title, names in GROUPS.items())


def _table(rows: Sequence[Row]) -> str:
    lines = ["| setting | default | unit | meaning |", "|---|---|---|---|"]
    for row in rows:
        default = f"`{row['default']}`" if row["default"] else ""
        lines.append(f"| `{row['name']}` | {default} | {row['unit']} | {row['help']} |")
    return "\n".join(lines)
