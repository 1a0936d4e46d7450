"""The page's files in memory, read once: compressed, and under addresses that name their content.

All files lie below one prefix that is a hash of them all. So relative imports of modules work without a build step, and
browsers may keep the files for ever: another version of the page has other addresses.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Request, Response

PREFIX = "/static/"
WORKER = "service-worker.js"  # served at the root
VERSION = re.compile(r"[0-9a-f]{12}/")
FOR_EVER = "public, max-age=31536000, immutable"  # RFC 9111: a year stands for ever
ASK_EACH_TIME = "no-cache"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class StaticFile:
    content_type: str
    etag: str
    body: bytes
    packed: bytes | None  # gzip; None where that saves nothing

    @classmethod
    def of(cls, name: str, body: bytes) -> StaticFile:
        packed = gzip.compress(body, mtime=0)
        return cls(TYPES[Path(name).suffix], _digest(body), body, packed if len(packed) < len(body) else None)

    def answer(self, request: Request, cache_control: str) -> Response:
        """The file as the client accepts it, or 304 if the client has it."""
        packed = self.packed if request.accept_encodings["gzip"] > 0 else None
        response = Response(self.body if packed is None else packed, content_type=self.content_type)
        response.headers["Cache-Control"] = cache_control
        response.set_etag(self.etag if packed is None else f"{self.etag}-gzip")
        if self.packed is not None:
            response.vary.add("Accept-Encoding")
        if packed is not None:
            response.content_encoding = "gzip"
        response.make_conditional(request)
        return response


@dataclass(frozen=True)
class StaticFiles:
    version: str
    files: Mapping[str, StaticFile]

    @classmethod
    def read(cls, folder: Path) -> StaticFiles:
        """`version` is a hash of all names and contents; references in HTML files get it."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        bodies = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        version = _digest(*(part for name, body in bodies.items() for part in (name.encode(), _digest(body).encode())))
        versioned = {name: _versioned(name, body, version) for name, body in bodies.items()}
        if WORKER in versioned:
            versioned[WORKER] = _with_files(versioned[WORKER], version, bodies)
        return cls(version, {name: StaticFile.of(name, body) for name, body in versioned.items()})

    def answer(self, request: Request, name: str) -> Response | None:
        """`name` below the prefix, with or without a version; None for a file that does not exist.

        Another version's address, as a page of an older server has it, gets the file of this one, not to be kept.
        """
        bare = VERSION.sub("", name, count=1) if VERSION.match(name) else name
        file = self.files.get(bare)
        return (
            None
            if file is None
            else file.answer(request, FOR_EVER if name == f"{self.version}/{bare}" else ASK_EACH_TIME)
        )


def _versioned(name: str, body: bytes, version: str) -> bytes:
    if not name.endswith(".html"):
        return body
    return body.replace(f'"{PREFIX}'.encode(), f'"{PREFIX}{version}/'.encode())


def _with_files(worker: bytes, version: str, names: Iterable[str]) -> bytes:
    """The service worker, which keeps all files but the page, whose address has no version, and itself."""
    kept = " ".join(name for name in names if not name.endswith(".html") and name != WORKER)
    return worker.replace(b"@VERSION@", version.encode()).replace(b"@FILES@", kept.encode())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
