"""The client's errors. No I/O.

ClientError
├── ServiceError        the API rejected the call: `code`, `detail` and `status` of its problem document
├── Unreachable         no answer after all retries
├── NotTheService       an answer, but not from this API: the URL is wrong
├── BadAddress          not a valid URL (also a ValueError)
├── BadKey              not a valid key, or unreadable (also a ValueError)
├── SongTooLarge        a pipe exceeded the service's limit
├── UnsafeName          a stem's name would leave its folder (also a ValueError)
├── JobFailed           the job ended without stems: `job` has the reason
└── WaitTimeout         the caller's timeout expired; the job continues
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msaas.client.models import Job
from msaas.errors import MSaaSError


class ClientError(MSaaSError):
    """Base class of the client's errors."""

    code = "client_error"


class ServiceError(ClientError):
    """A problem document (RFC 9457). `problem` is the whole document: some codes have more members."""

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
    """The job failed or was cancelled. `code` is the job's own if it has one."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.error.detail if job.error else f"the job ended as {job.state}")
        self.job = job
        self.code = job.error.code if job.error else f"job_{job.state}"


class WaitTimeout(ClientError):
    """`job` is its last known state."""

    code = "wait_timeout"

    def __init__(self, job: Job, timeout_seconds: float) -> None:
        super().__init__(f"job {job.songhash} is still {job.state} after {timeout_seconds:g} seconds")
        self.job = job
