"""Clients of an S3 server. Connects to nothing until a call is made."""

from __future__ import annotations

from pathlib import Path

import urllib3
from minio import Minio

REGION = "us-east-1"  # named, so that no call has to ask for it first
CONNECT_SECONDS = 3


def connect(
    address: str,
    access_key: str,
    secret_key: str,
    *,
    secure: bool = False,
    ca_file: Path | None = None,
    timeout_seconds: float = 30,
    connections: int = 10,
) -> Minio:
    """`address`: host:port. `ca_file`: certificates (PEM) instead of the system's. `connections`: kept open.
    `timeout_seconds`: from one byte of an answer to the next.

    Retries are left to the callers: the API answers 503 at once, the worker waits and tries again.
    """
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout_seconds),
        retries=urllib3.Retry(total=False, redirect=False),
        maxsize=connections,
        cert_reqs="CERT_REQUIRED",
        ca_certs=None if ca_file is None else str(ca_file),
    )
    return Minio(address, access_key=access_key, secret_key=secret_key, secure=secure, region=REGION, http_client=pool)
