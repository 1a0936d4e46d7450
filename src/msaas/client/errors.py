"""What may go wrong for a caller of the API, in one tree. No I/O.

ClientError
├── ServiceError        the API refused: its problem document's `code`, `detail` and `status`
├── Unreachable         no answer, however often it was asked for
├── NotTheService       an answer, but not one of this API: the URL leads somewhere else
├── BadAddress          the URL is none (a ValueError too)
├── BadKey              the key is none, or cannot be read (a ValueError too)
├── SongTooLarge        a pipe held more than the service takes
├── UnsafeName          a stem's name would lead out of its folder (a ValueError too)
├── JobFailed           the song was accepted and brought out no stems: `job` tells why
└── WaitTimeout         the job goes on; the caller had no more time
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msaas.client.models import Job
from msaas.errors import MSaaSError


class ClientError(MSaaSError):
    """Root of the tree."""

    code = "client_error"


class ServiceError(ClientError):
    """A problem document (RFC 9457). `problem` is all of it: some codes bring more members."""

    def __init__(self, code: str, detail: str, status: int, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{detail} ({status} {code})")
        self.code, self.status = code, status
        self._detail = detail
        self.problem = problem or {}

    @property
    def detail(self) -> str:
        return self._detail


class Unreachable(ClientError):
    code = "unreachable"


class NotTheService(ClientError):
    code = "not_the_service"


class BadAddress(ClientError, ValueError):
    code = "bad_address"


class BadKey(ClientError, ValueError):
    code = "bad_key"


class SongTooLarge(ClientError):
    code = "upload_too_large"


class UnsafeName(ClientError, ValueError):
    code = "unsafe_name"


class JobFailed(ClientError):
    """The job ended as failed or cancelled. `code` is the job's own where it has one."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.error.detail if job.error else f"the job ended as {job.state}")
        self.job = job
        self.code = job.error.code if job.error else f"job_{job.state}"


class WaitTimeout(ClientError):
    """`job` is how it stood last."""

    code = "wait_timeout"

    def __init__(self, job: Job, timeout_seconds: float) -> None:
        super().__init__(f"job {job.songhash} is still {job.state} after {timeout_seconds:g} seconds")
        self.job = job
