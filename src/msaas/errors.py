"""Every error MSaaS raises on purpose, in one tree. No I/O.

MSaaSError
├── RequestError            the caller can mend it
│   ├── BadRequest          400  the body cannot be read as what it says it is
│   ├── UnsupportedBody     415  none of the three body types
│   ├── UploadTooLarge      413
│   ├── InvalidOption       422  an option, stem, format or model that does not exist
│   ├── CallbackRefused     422  a callback that leads where none may go
│   ├── NotFound            404  unknown job, track or stem
│   ├── Conflict            409  the job's state does not allow it
│   │   └── NoLinks                  this service hands out no links to its store
│   ├── KeyRefused          401  no key, or none that is known here
│   ├── Forbidden           403  a call that is switched off, or comes from another site
│   │   └── ScopeMissing         the key is known; its scopes do not cover the call
│   ├── QuotaExceeded       429  more than the caller's share
│   └── AudioError          422  the bytes are the fault; running again gives the same answer
│       ├── NotAudio             nothing in the file decodes to sound
│       ├── AudioTooLong         more seconds than the limit
│       └── DecodedTooLarge      more decoded bytes than the limit
├── Unavailable             503  passes by itself: worth another try
│   ├── QueueUnavailable         Redis is away
│   ├── StorageUnavailable       the object store is away
│   │   └── StorageFull              it answers, and has no room left: full, or its quota reached
│   ├── QueueFull                more songs wait than may
│   └── Busy                     this server has its hands full
├── SeparationError         a run went wrong
│   ├── ModelUnavailable         the weights cannot be had
│   ├── DeviceUnavailable        the device asked for is not there
│   ├── ScratchFull              no space left for temporary files
│   ├── OutOfMemory              this process' memory does not hold the run
│   ├── Cancelled                stopped on request
│   └── ChildDied                the separation process ended in mid-job
└── SettingsError           a setting is wrong: refused at start
"""

from __future__ import annotations

from collections.abc import Mapping


class MSaaSError(Exception):
    """Root of the tree. `code` is for programs, the message for people."""

    code = "internal_error"
    status = 500
    retry_after_seconds: int | None = None
    headers: Mapping[str, str] = {}  # that belong to the answer

    @property
    def detail(self) -> str:
        return str(self)


class RequestError(MSaaSError):
    code = "bad_request"
    status = 400


class BadRequest(RequestError):
    """The body cannot be read. `code` may be narrowed: `BadRequest("…", code="bad_base64")`."""

    def __init__(self, message: str, code: str = "bad_request") -> None:
        super().__init__(message)
        self.code = code


class UnsupportedBody(RequestError):
    code = "unsupported_body"
    status = 415


class UploadTooLarge(RequestError):
    code = "upload_too_large"
    status = 413


class InvalidOption(RequestError):
    code = "invalid_option"
    status = 422


class CallbackRefused(RequestError):
    code = "callback_refused"
    status = 422


class NotFound(RequestError):
    """`code` tells which thing is missing: `job_unknown`, `job_not_done`, `stem_unknown`, `track_unknown`."""

    status = 404

    def __init__(self, message: str, code: str = "not_found", **extra: object) -> None:
        super().__init__(message)
        self.code = code
        self.extra = extra


class Conflict(RequestError):
    code = "conflict"
    status = 409


class NoLinks(Conflict):
    code = "redirect_unavailable"


class KeyRefused(RequestError):
    """RFC 6750, 3.1: where no key came at all, the challenge names no error."""

    status = 401

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
        error = ', error="invalid_token"' if code == "key_unknown" else ""
        self.headers = {"WWW-Authenticate": f'Bearer realm="msaas"{error}'}


class Forbidden(RequestError):
    code = "forbidden"
    status = 403


class ScopeMissing(Forbidden):
    code = "scope_missing"

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        challenge = f'Bearer realm="msaas", error="insufficient_scope", scope="{scope}"'
        self.headers = {"WWW-Authenticate": challenge}


class QuotaExceeded(RequestError):
    """`code` tells which: `rate_limited`, `audio_quota_exceeded`."""

    status = 429

    def __init__(self, message: str, code: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of_audio(cls, limit_seconds: int, seconds: int, retry_after_seconds: int) -> QuotaExceeded:
        minutes, most = f"{seconds / 60:.1f}", f"{limit_seconds / 60:g}"
        message = (
            f"this song has {minutes} minutes; {most} minutes of audio in 24 hours are the limit, less what was used"
        )
        return cls(message, "audio_quota_exceeded", retry_after_seconds)


class AudioError(RequestError):
    code = "bad_audio"
    status = 422


class NotAudio(AudioError):
    code = "not_audio"


class AudioTooLong(AudioError):
    code = "audio_too_long"


class DecodedTooLarge(AudioError):
    code = "decoded_too_large"


class Unavailable(MSaaSError):
    code = "unavailable"
    status = 503
    retry_after_seconds = 5


class QueueUnavailable(Unavailable):
    code = "queue_unavailable"


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"


class StorageFull(StorageUnavailable):
    code = "storage_full"


class QueueFull(Unavailable):
    code = "queue_full"
    retry_after_seconds = 30


class Busy(Unavailable):
    code = "busy"


class SeparationError(MSaaSError):
    code = "separation_failed"


class ModelUnavailable(SeparationError):
    code = "model_unavailable"


class DeviceUnavailable(SeparationError):
    code = "device_unavailable"


class ScratchFull(SeparationError):
    code = "scratch_full"


class OutOfMemory(SeparationError):
    code = "out_of_memory"


class Cancelled(SeparationError):
    code = "cancelled"


class ChildDied(SeparationError):
    code = "worker_child_died"


class SettingsError(MSaaSError):
    code = "bad_settings"
