"""The Python client of the HTTP API: submit a song, wait, download its stems. Needs requests, and no other MSaaS code.

from msaas.client import Client

with Client("http://localhost:5000") as client:
    job = client.submit("song.mp3", two_stems="vocals")
    job = client.wait(job.songhash)
    client.download(job, "stems")
"""

from msaas.client.api import DEFAULT_URL, Client
from msaas.client.errors import (
    BadAddress,
    BadKey,
    ClientError,
    JobFailed,
    NotTheService,
    ServiceError,
    SongTooLarge,
    Unreachable,
    UnsafeName,
    WaitTimeout,
)
from msaas.client.models import Batch, Job, JobError, JobWarning, Model, Queue, Share

__all__ = [
    "DEFAULT_URL",
    "BadAddress",
    "BadKey",
    "Batch",
    "Client",
    "ClientError",
    "Job",
    "JobError",
    "JobFailed",
    "JobWarning",
    "Model",
    "NotTheService",
    "Queue",
    "ServiceError",
    "Share",
    "SongTooLarge",
    "Unreachable",
    "UnsafeName",
    "WaitTimeout",
]
