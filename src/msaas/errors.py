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
│   ├── Forbidden           403  a call that is switched off, or comes from another site
│   └── AudioError          422  the bytes are the fault; running again gives the same answer
│       ├── NotAudio             nothing in the file decodes to sound
│       ├── AudioTooLong         more seconds than the limit
│       └── DecodedTooLarge      more decoded bytes than the limit
├── Unavailable             503  passes by itself: worth another try
│   ├── QueueUnavailable         Redis is away
│   ├── StorageUnavailable       the object store is away
│   │   └── StorageFull              it answers, and has no room left: full, or its quota reached
│   └── Busy                     this server has its hands full
├── SeparationError         a run went wrong
│   ├── ModelUnavailable         the weights cannot be had
│   ├── DeviceUnavailable        the device asked for is not there
│   ├── ScratchFull              no space left for temporary files
│   ├── Cancelled                stopped on request
│   └── ChildDied                the separation process ended in mid-job
└── SettingsError           a setting is wrong: refused at start
"""

from __future__ import annotations


class MSaaSError(Exception):
    """Root of the tree. `code` is for programs, the message for people."""

    code = "internal_error"
    status = 500
    retry_after_seconds: int | None = None

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


class Forbidden(RequestError):
    code = "forbidden"
    status = 403


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


class Cancelled(SeparationError):
    code = "cancelled"


class ChildDied(SeparationError):
    code = "worker_child_died"


class SettingsError(MSaaSError):
    code = "bad_settings"
