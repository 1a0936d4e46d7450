"""Admits or rejects each request: authentication, scope, ownership of the song, rate limits.

Runs before each view. Without keys every call is allowed, as on a laptop, and limits apply per address.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Flask, Response, current_app, g, request

from msaas.auth.keys import contains_key, find_key
from msaas.auth.quotas import CALLS, POSTS, LimitState, Quotas, address_account, rate_headers
from msaas.auth.scopes import Requirement, requirement_of
from msaas.auth.tickets import PARAMETER, is_shares, split_shares, ticket_holder
from msaas.errors import BadRequest, KeyRefused, MSaaSError, NotFound, ScopeMissing
from msaas.jobs import Track, parse_songhash
from msaas.queue import Queue
from msaas.settings.api_keys import ADMIN, USE, Key
from msaas.sharing.shares import PREFIX, Share, Shares

log = logging.getLogger(__name__)

EXTENSION = "msaas-gate"
# query parameters in which other services expect keys
KEY_PARAMETERS = frozenset(
    {"key", "api_key", "api-key", "apikey", "access_token", "token", "auth", "authorization", "bearer", "msaas_api_key"}
)
PROXIED = ("X-Forwarded-For", "Forwarded")
HINT = "send it as `Authorization: Bearer <key>`"
MAX_SHOWN = 200  # characters of a path in a log line
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
AUDITED = frozenset({401, 403, 429})


@dataclass(frozen=True)
class Caller:
    """`key` is None without keys. `account` is the subject of quotas. `share`: the link that the caller holds instead
    of a key; `key` then has its tenant, and no scope."""

    key: Key | None
    account: str
    share: Share | None = None

    @property
    def tenant(self) -> str:
        return self.key.name if self.key else ""

    def sees(self, tenant: str) -> bool:
        return self.key is None or self.key.may(ADMIN) or tenant == self.tenant


class AccessControl:
    """`refused` is called with the code of each request that is refused, for the metrics."""

    def __init__(
        self,
        keys: Sequence[Key],
        quotas: Quotas,
        queue: Queue,
        shares: Shares,
        refused: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.keys, self.quotas, self.queue, self.shares, self.refused = keys, quotas, queue, shares, refused

    @property
    def locked(self) -> bool:
        return bool(self.keys)

    def admit(self) -> None:
        """Raises BadRequest, KeyRefused, ScopeMissing, NotFound, QuotaExceeded."""
        g.limit_states = []
        if self.keys:
            self._refuse_key_in_url()
        # OPTIONS only lists methods; without an endpoint the answer is 404 for everybody
        if request.method == "OPTIONS" or request.endpoint is None:
            return
        requirement = _effective(requirement_of(request.endpoint), with_keys=self.locked)
        if not requirement.scope:
            return
        g.caller = self._caller(requirement)
        record_limit(self.quotas.take(g.caller.account, _kind(request.endpoint)))
        if self.keys:
            self._refuse_foreign_songs(g.caller)

    # --- authentication

    def _caller(self, requirement: Requirement) -> Caller:
        if not self.keys:
            return Caller(None, address_account(request.remote_addr or ""))
        if share := self._share(requirement):
            g.caller = holder_of(share)
            return g.caller  # type: ignore[no-any-return]
        key = self._key(requirement)
        g.caller = Caller(key, f"key {key.name}")  # identified from here on, also if rejected
        if not key.may(requirement.scope):
            raise ScopeMissing(
                f"this call needs the scope {requirement.scope}; this key has {_scopes(key)}", requirement.scope
            )
        return g.caller  # type: ignore[no-any-return]

    def _key(self, requirement: Requirement) -> Key:
        given = request.headers.get("Authorization", "")
        if not given and requirement.ticket and PARAMETER in request.args:
            return self._holder_of_ticket(request.args[PARAMETER])
        scheme, _, text = given.partition(" ")
        if not given or scheme.lower() != "bearer":
            raise KeyRefused(f"this call needs a key: {HINT}", "key_missing")
        key = find_key(self.keys, text.strip())
        if key is None:
            raise KeyRefused("unknown or revoked key", "key_unknown")
        return key

    def _share(self, requirement: Requirement) -> Share | None:
        """The link whose token, or ticket, the request has. Raises KeyRefused for one that is over, ScopeMissing for a
        call that no link may make."""
        token, ticket = share_token(), request.args.get(PARAMETER, "")
        if not token and not (requirement.ticket and is_shares(ticket) and not request.headers.get("Authorization")):
            return None
        share = self.shares.find(token) if token else self._ticket_share(ticket)
        if share is None:
            record_limit(self.quotas.take(address_account(request.remote_addr or ""), CALLS))
            raise KeyRefused("this link has expired or was revoked", "key_unknown")
        if not requirement.share:
            raise ScopeMissing("a link that shares a song reads this song only", requirement.scope)
        return share

    def _ticket_share(self, ticket: str) -> Share | None:
        signed, id_ = split_shares(ticket)
        share = self.shares.get(id_)
        if share is None or ticket_holder([key_of(share)], signed, request.path, time.time()) is None:
            return None
        return share

    def _holder_of_ticket(self, ticket: str) -> Key:
        holder = ticket_holder(self.keys, ticket, request.path, time.time())
        if holder is None:
            raise KeyRefused("this link has expired or is for another file; request a new one", "key_unknown")
        return holder

    def _refuse_key_in_url(self) -> None:
        """URLs end up in histories, proxy logs and Referers. The key itself is never repeated."""
        names = KEY_PARAMETERS & {name.lower() for name in request.args}
        query = request.query_string.decode("latin-1")
        if names or any(contains_key(text, self.keys) for text in (request.path, *query.split("&"))):
            g.hide_path = True
            raise BadRequest(f"do not put a key into a URL, since URLs are logged: {HINT}", code="key_in_url")

    # --- ownership

    def _refuse_foreign_songs(self, caller: Caller) -> None:
        """Other tenants' songs get the same answer as unknown ones."""
        songhash = _songhash(request.view_args or {})
        if caller.share:
            self._refuse_unshared_songs(caller.share, songhash)
            return
        if songhash is None or caller.key is None or caller.key.may(ADMIN):
            return
        tenant = self.queue.tenant_of(songhash)
        if tenant and caller.sees(tenant):
            return
        if tenant is not None:
            g.refusal = "another_tenants_job"
        raise NotFound(f"unknown job {songhash}", code="job_unknown")

    def _refuse_unshared_songs(self, share: Share, songhash: str | None) -> None:
        """A link opens its song, and the mixes of it."""
        if songhash in (None, share.songhash) and self.queue.tenant_of(share.songhash) == share.tenant:
            return
        if songhash is not None and self._is_mix_of(songhash, share):
            return
        raise NotFound(f"unknown job {songhash or share.songhash}", code="job_unknown")

    def _is_mix_of(self, songhash: str, share: Share) -> bool:
        job = self.queue.get(songhash)
        return job is not None and job.mix_of == share.songhash and job.tenant == share.tenant

    # --- headers and the audit log

    def close(self, response: Response) -> Response:
        response.headers.update(rate_headers(g.get("limit_states", ())))
        refusal = g.get("refusal", "")
        if response.status_code in AUDITED or refusal in ("another_tenants_job", "key_in_url", "queue_full"):
            self.refused(refusal or str(response.status_code))
            who = g.caller.account if "caller" in g else "nobody"
            log.warning(
                "refused who=%r address=%s call=%s %r status=%d code=%s",
                *(who, request.remote_addr, shown_method(), shown_path(), response.status_code, refusal),
            )
        return response


def install(app: Flask, access: AccessControl) -> None:
    app.extensions[EXTENSION] = access
    app.before_request(access.admit)
    app.after_request(access.close)


def share_token() -> str:
    """The token of a link in the current request; empty without one."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = text.strip()
    return text if scheme.lower() == "bearer" and text.startswith(PREFIX) else ""


def shared_by(find: Callable[[str], Share | None]) -> Share | None:
    """The link of the current request, whether or not the service has keys."""
    found = caller().share
    return found or find(share_token())


def holder_of(share: Share) -> Caller:
    return Caller(key_of(share), f"share {share.id}", share)


def key_of(share: Share) -> Key:
    """What signs the tickets of a link's holder; it has no scope."""
    return Key(share.tenant, frozenset(), share.digest)


def gate_of(app: Flask) -> AccessControl:
    found = app.extensions[EXTENSION]
    assert isinstance(found, AccessControl)  # noqa: S101 - for mypy; set by install
    return found


def gate() -> AccessControl:
    return gate_of(current_app)


def caller() -> Caller:
    """The current request's caller."""
    found = g.caller
    assert isinstance(found, Caller)  # noqa: S101 - for mypy
    return found


def record_limit(limit_state: LimitState | None) -> None:
    """Records a limit's state for the answer's headers. Raises QuotaExceeded if the limit is reached."""
    if limit_state is None:
        return
    g.limit_states.append(limit_state)
    if limit_state.refusal:
        raise limit_state.refusal


def record_refusal(error: MSaaSError) -> None:
    """Records the answer's `code` for the audit line. An earlier, more specific code is kept."""
    g.setdefault("refusal", error.code)


def shown_method() -> str:
    """For logs: an unknown method can be any text."""
    return request.method if request.method in METHODS else "(other)"


def shown_path() -> str:
    """For logs: a path with a key is left out, a long one is cut."""
    if g.get("hide_path"):
        return "(hidden)"
    return request.path if len(request.path) <= MAX_SHOWN else request.path[:MAX_SHOWN] + "…"


def _effective(requirement: Requirement, *, with_keys: bool) -> Requirement:
    if requirement.inside and not (with_keys and any(name in request.headers for name in PROXIED)):
        return Requirement()
    return requirement


def _kind(endpoint: str) -> str:
    requirement = requirement_of(endpoint)
    return POSTS if requirement.scope == USE and requirement.post and request.method == "POST" else CALLS


def _songhash(arguments: dict[str, Any]) -> str | None:
    """The songhash of a call. Raises NotFound for an invalid one."""
    if "songhash" in arguments:
        return parse_songhash(arguments["songhash"])
    return Track.parse(arguments["name"]).songhash if "name" in arguments else None


def _scopes(key: Key) -> str:
    return "+".join(sorted(key.scopes))
