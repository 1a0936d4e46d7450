"""The settings of songs that are fetched by address."""

from __future__ import annotations

from dataclasses import dataclass

from msaas.settings.field import setting
from msaas.settings.networks import Network, parse_networks
from msaas.settings.parsers import bucket_folders, flag, number, ports


@dataclass(frozen=True)
class FetchSettings:
    """Part of Settings."""

    fetch: bool = setting("MSAAS_FETCH", "true", flag, "bool", "accept songs by address (`url`)")
    fetch_allow: tuple[Network, ...] = setting(
        "MSAAS_FETCH_ALLOW",
        "",
        parse_networks,
        "CIDRs",
        "private networks that songs may be fetched from, on any port, comma-separated",
    )
    fetch_ports: frozenset[int] = setting(
        "MSAAS_FETCH_PORTS",
        "80,443,8080,8443",
        ports,
        "ports",
        "ports that the address of a song may use, comma-separated",
    )
    fetch_buckets: tuple[str, ...] = setting(
        "MSAAS_FETCH_BUCKETS",
        "",
        bucket_folders,
        "buckets",
        "buckets of the S3 server, or folders of them (bucket/folder), that s3:// addresses may name, comma-separated",
    )
    fetch_seconds: float = setting(
        "MSAAS_FETCH_SECONDS", "300", number(float, 1, 86400), "seconds", "time limit for fetching a song"
    )
    fetchers: int = setting(
        "MSAAS_FETCHERS",
        "2",
        number(int, 0, 256),
        "threads",
        "songs that a process, API or worker, fetches at once; 0 leaves fetching to the others",
    )
