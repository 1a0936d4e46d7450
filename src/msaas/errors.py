"""Every error MSaaS raises on purpose, in one tree. What each code means is in error_codes. No I/O.

MSaaSError
├── RequestError            the caller can correct it
│   ├── BadRequest          400  the body does not match its Content-Type
│   ├── UnsupportedBody     415  unsupported Content-Type
│   ├── UploadTooLarge      413
│   ├── ChecksumMismatch    460  of a part of an upload (tus)
│   ├── UploadLocked        423  another request appends to the upload
│   ├── ProtocolUnsupported 412  another version of tus
│   ├── ClientTooSlow       408  the body arrives below the minimum rate
│   ├── InvalidOption       422  an unknown option, stem, format or model
│   ├── TargetRefused       422  a URL that this service may not call
│   │   ├── CallbackRefused          of a callback
│   │   └── FetchRefused             of a song to fetch
│   ├── NotFound            404  unknown job, track or stem
│   ├── Conflict            409  the job's state does not allow it
│   │   ├── OffsetMismatch           an upload has another offset
│   │   ├── UploadIncomplete         bytes of the upload are missing
│   │   ├── NoLinks                  this service provides no links to its object store
│   │   └── RequestInProgress        the first request with the same Idempotency-Key is not answered yet
│   ├── IdempotencyKeyReused 422  an Idempotency-Key that belongs to another request
│   ├── KeyRefused          401  no key, or an unknown one
│   ├── Forbidden           403  a disabled call, or a request from another site
│   │   └── ScopeMissing         the key's scopes do not cover the call
│   ├── QuotaExceeded       429  above the caller's limit
│   └── AudioError          422  the file is the cause; a retry gives the same result
│       ├── NotAudio             the file has no audio that decodes
│       ├── AudioTooLong         longer than the limit
│       └── DecodedTooLarge      more decoded bytes than the limit
├── SandboxError            500  the sandbox process failed for a reason other than the song
├── Unavailable             503  temporary; retry later
│   ├── QueueUnavailable         Redis does not respond
│   ├── StorageUnavailable       the object store does not respond
│   │   ├── StorageFull              it is full, or its quota is reached
│   │   ├── StorageRefused           it refuses for another reason
│   │   └── ObjectDamaged            it returned something else than was stored
│   ├── QueueFull                the queue is at its limit
│   └── Busy                     this server is at its limit of concurrent work
├── RecordBroken            the job's record cannot be read
├── SeparationError         a run went wrong
│   ├── ModelUnavailable         the weights cannot be loaded or downloaded
│   ├── DeviceUnavailable        the device is not available
│   ├── ScratchFull              no space left for temporary files
│   ├── OutOfMemory              the run needs more memory than the process has
│   ├── Cancelled                stopped on request
│   └── ChildDied                the separation process ended during a job
└── SettingsError           a setting is invalid; the process does not start
"""

from __future__ import annotations

from collections.abc import Mapping


class MSaaSError(Exception):
    """Root of the tree. `code` is for programs, the message is for people.

    `public` replaces the message in responses if the message could name internal hosts; the log has the message.
    """

    code = "internal_error"
    status = 500
    public: str | None = None
    retry_after_seconds: int | None = None
    headers: Mapping[str, str] = {}  # of the response

    @property
    def detail(self) -> str:
        return self.public or str(self)


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


class ChecksumMismatch(RequestError):
    code = "checksum_mismatch"
    status = 460


class UploadLocked(RequestError):
    code = "upload_locked"
    status = 423
    retry_after_seconds = 1


class ProtocolUnsupported(RequestError):
    code = "tus_version_unsupported"
    status = 412

    def __init__(self, message: str, version: str) -> None:
        super().__init__(message)
        self.headers = {"Tus-Version": version}


class ClientTooSlow(RequestError):
    code = "client_too_slow"
    status = 408


class InvalidOption(RequestError):
    code = "invalid_option"
    status = 422


class TargetRefused(RequestError):
    code = "callback_refused"
    status = 422


class CallbackRefused(TargetRefused):
    code = "callback_refused"


class FetchRefused(TargetRefused):
    code = "fetch_refused"


class NotFound(RequestError):
    """`code` says what is missing: `job_unknown`, `job_not_done`, `stem_unknown`, `track_unknown`."""

    status = 404

    def __init__(self, message: str, code: str = "not_found", **extra: object) -> None:
        super().__init__(message)
        self.code = code
        self.extra = extra


class Conflict(RequestError):
    code = "conflict"
    status = 409


class OffsetMismatch(Conflict):
    code = "offset_mismatch"

    def __init__(self, offset: int, given: int) -> None:
        super().__init__(f"the upload has {offset} bytes; the request starts at {given}")
        self.headers = {"Upload-Offset": str(offset)}


class UploadIncomplete(Conflict):
    code = "upload_incomplete"

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(f"the upload has {offset} of {size} bytes")


class NoLinks(Conflict):
    code = "redirect_unavailable"


class RequestInProgress(Conflict):
    code = "request_in_progress"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__("the first request with this Idempotency-Key is not answered yet; retry later")
        self.retry_after_seconds = retry_after_seconds


class IdempotencyKeyReused(RequestError):
    code = "idempotency_key_reused"
    status = 422


class KeyRefused(RequestError):
    """RFC 6750, 3.1: without a key in the request, the challenge has no error."""

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
    """`code` says which limit: `rate_limited`, `audio_quota_exceeded`, `too_many_songs`, `too_many_callbacks`,
    `too_many_uploads`."""

    status = 429

    def __init__(self, message: str, code: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of_audio(
        cls, limit_seconds: int, seconds: int, retry_after_seconds: int, *, reserved: bool = False
    ) -> QuotaExceeded:
        """`reserved`: the rest of the day is reserved for the caller's songs that are not finished."""
        minutes, limit = f"{seconds / 60:.1f}", f"{limit_seconds / 60:g}"
        message = (
            f"this song is {minutes} minutes long; the limit is {limit} minutes in 24 hours,"
            " including those already used"
        )
        if reserved:
            message += " and the most that your unfinished songs can turn out to last; retry when one is done"
        return cls(message, "audio_quota_exceeded", retry_after_seconds)

    @classmethod
    def of_songs(cls, limit: int) -> QuotaExceeded:
        return cls(
            f"{limit} of your songs are queued or running, which is the limit; retry when some are done",
            "too_many_songs",
            retry_after_seconds=30,
        )

    @classmethod
    def of_uploads(cls, limit: int, limit_bytes: int, *, heavy: bool) -> QuotaExceeded:
        found = f"more than {limit_bytes} bytes" if heavy else f"{limit} uploads"
        message = f"your unfinished uploads are {found}, the limit here; finish or remove some"
        return cls(message, "too_many_uploads", retry_after_seconds=60)

    @classmethod
    def of_callbacks(cls) -> QuotaExceeded:
        return cls(
            "your undelivered callbacks have reached the limit of 32 MB; retry when some are delivered",
            "too_many_callbacks",
            retry_after_seconds=60,
        )


class AudioError(RequestError):
    """`cpu_seconds`: CPU time spent on the file, 0 if not measured."""

    code = "bad_audio"
    status = 422
    cpu_seconds = 0.0


class NotAudio(AudioError):
    code = "not_audio"


class AudioTooLong(AudioError):
    code = "audio_too_long"


class DecodedTooLarge(AudioError):
    code = "decoded_too_large"


class SandboxError(MSaaSError):
    """Its code is `internal_error`. The log has the traceback, if there is one."""


class Unavailable(MSaaSError):
    code = "unavailable"
    status = 503
    retry_after_seconds = 5


class QueueUnavailable(Unavailable):
    """`answered`: Redis did, with an error."""

    code = "queue_unavailable"
    public: str | None = "the queue (Redis) does not respond correctly"

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    public: str | None = "the object store does not respond correctly"


class StorageFull(StorageUnavailable):
    code = "storage_full"
    public = None


class StorageRefused(StorageUnavailable):
    """`reason` is the store's own code, or its HTTP status."""

    code = "storage_refused"

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.public = f"the object store refuses ({reason[:80]})"


class ObjectDamaged(StorageUnavailable):
    code = "object_damaged"
    public = None


class QueueFull(Unavailable):
    code = "queue_full"
    retry_after_seconds = 30


class Busy(Unavailable):
    code = "busy"


class RecordBroken(MSaaSError):
    code = "record_broken"


class SeparationError(MSaaSError):
    code = "separation_failed"


class ModelUnavailable(SeparationError):
    code = "model_unavailable"
    model = ""  # set where a song is separated by several


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
