"""Share links: tokens that open one song for reading, for some days. Redis keeps a token's hash, never the token.

`share:<id>`           hash, expires with the link: digest, songhash, tenant, created_ms, expires_ms, mix
`shares:<songhash>`    set of the IDs of a song's links
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from msaas.errors import Conflict, NotFound
from msaas.fields import Fields
from msaas.redis_client import answers, redis_errors, unless_damaged

PREFIX = "share_"
MAX_SHARES = 100  # of a song
_ID_BYTES, _SECRET_BYTES = 8, 32
_ID = re.compile(r"[0-9a-f]{16}")
_TOKEN = re.compile(rf"{PREFIX}([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")
FIELDS = ("digest", "songhash", "tenant", "created_ms", "expires_ms", "mix")


@dataclass(frozen=True)
class Share:
    """`mix`: how the page shows the song, as the page's own text. Times are seconds since 1970."""

    id: str
    songhash: str
    tenant: str
    created_at: float
    expires_at: float
    mix: str = ""
    digest: str = field(default="", repr=False)


class Shares:
    """Every method raises QueueUnavailable if Redis does not respond."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    def create(self, songhash: str, tenant: str, seconds: float, mix: str = "") -> tuple[Share, str]:
        """A new link and its token, which is not kept. Raises Conflict if the song has too many."""
        if len(self.of(songhash)) >= MAX_SHARES:
            raise _too_many()
        id_, secret, now = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES), time.time()
        token = f"{PREFIX}{id_}_{secret}"
        share = Share(id_, songhash, tenant, now, now + seconds, mix, _digest(token))
        record = {"digest": share.digest, "songhash": songhash, "tenant": tenant, "mix": mix}
        record |= {"created_ms": str(int(now * 1000)), "expires_ms": str(int(share.expires_at * 1000))}
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.hset(_key(id_), mapping=record).pexpire(_key(id_), int(seconds * 1000)).sadd(_index(songhash), id_)
            pipe.scard(_index(songhash))
            count = pipe.execute()[-1]
        if count > MAX_SHARES:  # others were made at the same time
            self.revoke(songhash, id_)
            raise _too_many()
        return share, token

    def find(self, token: str) -> Share | None:
        """The link of a token; None if there is none, or it has expired or was revoked."""
        parsed = _TOKEN.fullmatch(token)
        share = self.get(parsed[1]) if parsed else None
        if share is None or not hmac.compare_digest(share.digest.encode(), _digest(token).encode()):
            return None
        return share

    def get(self, id_: str) -> Share | None:
        if not _ID.fullmatch(id_):
            return None
        return _read(id_, unless_damaged(lambda: self._redis.hmget(_key(id_), FIELDS), [None] * len(FIELDS)))

    def of(self, songhash: str) -> list[Share]:
        """A song's links, the newest first. Forgets those that have expired."""
        ids = [id_ for id_ in self._ids(songhash) if _ID.fullmatch(id_)]
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for id_ in ids:
                pipe.hmget(_key(id_), FIELDS)
            found = answers(pipe, otherwise=[None] * len(FIELDS))
        shares = {id_: _read(id_, record) for id_, record in zip(ids, found, strict=True)}
        if over := [id_ for id_, share in shares.items() if share is None]:
            with redis_errors():
                self._redis.srem(_index(songhash), *over)
        own = [share for share in shares.values() if share and share.songhash == songhash]
        return sorted(own, key=lambda share: share.created_at, reverse=True)

    def revoke(self, songhash: str, id_: str) -> None:
        """Raises NotFound if it is not a link of this song."""
        share = self.get(id_)
        if share is None or share.songhash != songhash:
            raise NotFound(f"no link {id_[:40]!r} shares this song", code="share_unknown")
        with redis_errors():
            self._redis.delete(_key(id_))
            self._redis.srem(_index(songhash), id_)

    def forget(self, songhash: str) -> Iterator[str]:
        """Ends all links of a song. Deletes no objects, so it yields nothing."""
        ids = [id_ for id_ in self._ids(songhash) if _ID.fullmatch(id_)]
        with redis_errors():
            self._redis.delete(_index(songhash), *map(_key, ids))
        return iter(())

    def _ids(self, songhash: str) -> list[str]:
        return sorted(map(str, unless_damaged(lambda: self._redis.smembers(_index(songhash)), ())))


def _too_many() -> Conflict:
    return Conflict(f"{MAX_SHARES} links share this song, which is the limit; revoke some")


def _key(id_: str) -> str:
    return f"share:{id_}"


def _index(songhash: str) -> str:
    return f"shares:{songhash}"


def _digest(token: str) -> str:
    """Plain SHA-256: a token is 256 random bits (see settings.api_keys.Key)."""
    return hashlib.sha256(token.encode()).hexdigest()


def _read(id_: str, record: list[str | None]) -> Share | None:
    """None for a missing or damaged record."""
    fields = Fields({name: text for name, text in zip(FIELDS, record, strict=True) if text is not None})
    created, expires = fields.seconds("created_ms"), fields.seconds("expires_ms")
    digest, songhash = fields.text("digest"), fields.text("songhash")
    if created is None or expires is None or not digest or not songhash or expires <= time.time():
        return None
    return Share(id_, songhash, fields.text("tenant"), created, expires, fields.text("mix"), digest)
