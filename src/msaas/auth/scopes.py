"""What each call needs, in one table: an endpoint that is missing here is for admins alone. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from msaas.settings.api_keys import ADMIN, READ, USE


@dataclass(frozen=True)
class Requirement:
    """`scope` is empty for what is open to anybody. `inside`: open, but not through a proxy.

    `ticket`: a signed link will do instead of a key (msaas.auth.tickets).
    """

    scope: str = ""
    inside: bool = False
    ticket: bool = False


OPEN = Requirement()
LOCKED = Requirement(ADMIN)

NEEDS = {
    "separate.separate": Requirement(USE),
    "jobs.get_job": Requirement(READ),
    "jobs.get_stems": Requirement(READ, ticket=True),
    "jobs.cancel_job": Requirement(USE),
    "ticket_links.get_links": Requirement(READ),
    "events.get_events": Requirement(READ),
    "waveforms.get_waveforms": Requirement(READ),
    "tracks.get_track": Requirement(READ, ticket=True),
    # What a key has made it may take back, as on the page: the stems are its tenant's own, and the song, posted
    # again, brings them back. Of other tenants it is told what an unknown songhash is told.
    "tracks.remove_track": Requirement(USE),
    "models.get_models": Requirement(READ),
    # Every tenant's songs are in these lists, and emptying the buckets takes them all.
    "lists.get_queue": LOCKED,
    "lists.get_buckets": LOCKED,
    "lists.empty_buckets": LOCKED,
    "lists.delete_contents": LOCKED,
    # Kubernetes' probes and Prometheus come to the pod itself and hold no key. Numbers name no song and no tenant,
    # but are nobody's business outside: whoever comes through a proxy (an ingress) needs an admin's key.
    "health.alive": OPEN,
    "health.ready": OPEN,
    "metrics.metrics": Requirement(ADMIN, inside=True),
    "health.index": OPEN,
    "reference.openapi_json": OPEN,
    "reference.docs": OPEN,
    "page.page": OPEN,
    "page.static_file": OPEN,
}


def need_of(endpoint: str) -> Requirement:
    return NEEDS.get(endpoint, LOCKED)
