"""Decides which addresses may be fetched from: public web servers, allowed networks, listed buckets. Opens nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from msaas.errors import FetchRefused
from msaas.outbound.targets import MAX_URL, TargetPolicy
from msaas.storage import ALL_BUCKETS

MEMBER = "url"  # the member of a request that has the address
BUCKET_SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_OURS = frozenset(ALL_BUCKETS)


def last_part(url: str) -> str:
    """The last part of the URL's path: what people would call the file."""
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])


@dataclass(frozen=True)
class StoredSong:
    """An object of the configured store."""

    bucket: str
    key: str

    @property
    def origin(self) -> str:
        """The part that may be shown and logged."""
        return f"{BUCKET_SCHEME}{self.bucket}"

    @classmethod
    def parse(cls, url: str) -> StoredSong:
        """Raises FetchRefused for what is not `s3://<bucket>/<key>`."""
        bucket, _, key = url.removeprefix(BUCKET_SCHEME).partition("/")
        if len(url) > MAX_URL or not _BUCKET.fullmatch(bucket) or not key or not key.isprintable():
            raise FetchRefused(f"{MEMBER} is not s3://<bucket>/<key>, with at most {MAX_URL} printable characters")
        # stores that keep objects as files may resolve these, and leave an allowed folder
        if any(part in ("", ".", "..") for part in key.split("/")) or "\\" in key:
            raise FetchRefused(f"{MEMBER} has a key with an empty part, `.`, `..` or a backslash")
        return cls(bucket, key)


@dataclass(frozen=True)
class SourcePolicy:
    """`targets`: for http and https. `buckets`: `<bucket>` or `<bucket>/<folder>`, which may be read."""

    targets: TargetPolicy = field(default_factory=lambda: TargetPolicy(refusal=FetchRefused, name=MEMBER))
    buckets: tuple[str, ...] = ()

    def admit(self, url: str) -> str:
        """Checks what is known without DNS; returns the part that may be shown. Raises FetchRefused."""
        if url.startswith(BUCKET_SCHEME):
            return self.stored(url).origin
        return self.targets.admit(url).origin

    def stored(self, url: str) -> StoredSong:
        """Raises FetchRefused unless the object's bucket or folder is listed."""
        song = StoredSong.parse(url)
        path = f"{song.bucket}/{song.key}"
        if song.bucket in _OURS or not any(path.startswith(f"{place.rstrip('/')}/") for place in self.buckets):
            raise FetchRefused(f"{MEMBER} names a bucket or folder that is not in MSAAS_FETCH_BUCKETS")
        return song
