"""The scope that each endpoint needs, in one table. Endpoints missing here need the admin scope. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from msaas.settings.api_keys import ADMIN, READ, USE


@dataclass(frozen=True)
class Requirement:
    """`scope` is empty for public endpoints. `inside`: public, except through a proxy.

    `ticket`: accepts a signed link instead of a key (msaas.auth.tickets). `share`: accepts the token of a link that
    shares the song (msaas.sharing).
    """

    scope: str = ""
    inside: bool = False
    ticket: bool = False
    share: bool = False
    post: bool = True  # a POST counts as an upload for the rate limit; otherwise as any other call


OPEN = Requirement()
LOCKED = Requirement(ADMIN)

REQUIREMENTS = {
    "separate.separate": Requirement(USE),
    # A song that arrives in parts counts once, when it is submitted.
    "uploads.create_upload": Requirement(USE, post=False),
    "uploads.upload_state": Requirement(USE),
    "uploads.append_to_upload": Requirement(USE),
    "uploads.remove_upload": Requirement(USE),
    "uploads.capabilities": OPEN,
    "batches.create_batch": Requirement(USE),
    "batches.get_batch": Requirement(READ),
    "batches.cancel_batch": Requirement(USE),
    "jobs.get_job": Requirement(READ, share=True),
    "lists.get_jobs": Requirement(READ),
    "jobs.get_stems": Requirement(READ, ticket=True, share=True),
    "mixes.create_mix": Requirement(USE),
    "shares.create_share": Requirement(USE, post=False),
    "shares.get_shares": Requirement(USE),
    "shares.revoke_share": Requirement(USE),
    "shares.get_shared": Requirement(READ, share=True),
    "jobs.cancel_job": Requirement(USE),
    "ticket_links.get_links": Requirement(READ, share=True),
    "events.get_events": Requirement(READ, share=True),
    "waveforms.get_waveforms": Requirement(READ, share=True),
    "tracks.get_track": Requirement(READ, ticket=True, share=True),
    # A key may delete what it has made, as on the page: the stems are its tenant's own, and posting the song again
    # restores them. Other tenants' songs get the same answer as unknown ones.
    "tracks.remove_track": Requirement(USE),
    "models.get_models": Requirement(READ),
    # These lists contain every tenant's songs, and emptying the buckets deletes them all.
    "lists.get_queue": LOCKED,
    "lists.get_buckets": LOCKED,
    "lists.empty_buckets": LOCKED,
    "lists.delete_contents": LOCKED,
    # Kubernetes' probes and Prometheus call the pod directly, without a key. The numbers contain no songs or tenants,
    # but are internal: calls through a proxy (an ingress) need an admin's key.
    "health.alive": OPEN,
    "health.ready": OPEN,
    "metrics.metrics": Requirement(ADMIN, inside=True),
    "health.index": OPEN,
    "reference.openapi_json": OPEN,
    "reference.docs": OPEN,
    "page.page": OPEN,
    "page.static_file": OPEN,
    "page.service_worker": OPEN,
}


def requirement_of(endpoint: str) -> Requirement:
    return REQUIREMENTS.get(endpoint, LOCKED)
