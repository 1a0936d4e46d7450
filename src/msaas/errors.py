"""Every error MSaaS raises on purpose, in one tree, and the one catalogue of their codes. No I/O.

MSaaSError
├── RequestError            the caller can correct it
│   ├── BadRequest          400  the body does not match its Content-Type
│   ├── UnsupportedBody     415  unsupported Content-Type
│   ├── UploadTooLarge      413
│   ├── ClientTooSlow       408  the body arrives below the minimum rate
│   ├── InvalidOption       422  an unknown option, stem, format or model
│   ├── CallbackRefused     422  a callback to a URL that is not allowed
│   ├── NotFound            404  unknown job, track or stem
│   ├── Conflict            409  the job's state does not allow it
│   │   └── NoLinks                  this service gives no links to its object store
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


class ClientTooSlow(RequestError):
    code = "client_too_slow"
    status = 408


class InvalidOption(RequestError):
    code = "invalid_option"
    status = 422


class CallbackRefused(RequestError):
    code = "callback_refused"
    status = 422


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


class NoLinks(Conflict):
    code = "redirect_unavailable"


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
    """`code` says which limit: `rate_limited`, `audio_quota_exceeded`, `too_many_songs`, `too_many_callbacks`."""

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
        minutes, most = f"{seconds / 60:.1f}", f"{limit_seconds / 60:g}"
        message = (
            f"this song is {minutes} minutes long; the limit is {most} minutes in 24 hours,"
            " including those already used"
        )
        if reserved:
            message += " and the most that your unfinished songs can turn out to last; retry when one is done"
        return cls(message, "audio_quota_exceeded", retry_after_seconds)

    @classmethod
    def of_songs(cls, most: int) -> QuotaExceeded:
        return cls(
            f"{most} of your songs are queued or running, which is the limit; retry when some are done",
            "too_many_songs",
            retry_after_seconds=30,
        )

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
    code = "queue_unavailable"
    public: str | None = "the queue (Redis) does not respond correctly"


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


# --- the catalogue: every code and its meaning. The meaning of a code never changes.

# of a problem document, the body of an error response
PROBLEM_CODES: Mapping[str, str] = {
    "bad_request": "the body cannot be read",
    "bad_json": "the body is not a JSON object, is truncated, or has more than 1 MB besides `mp3`",
    "bad_base64": "`mp3` is not valid base64",
    "bad_multipart": "the form cannot be read, or has more than one file",
    "bad_chunks": "the body's chunked encoding is invalid, or its chunks are only a few bytes each",
    "client_too_slow": "the body arrived too slowly (MSAAS_SLOW_CLIENT_BYTES_PER_SECOND, MSAAS_SLOW_CLIENT_SECONDS)",
    "headers_too_late": "the headers took longer than MSAAS_HEADER_SECONDS",
    "headers_too_large": "the headers exceed 32,000 bytes or 100 fields",
    "uri_too_long": "the URL exceeds 8,000 bytes",
    "missing_mp3": "the JSON has no `mp3`",
    "missing_file": "the form has no file named `file`",
    "empty_file": "the song is empty",
    "upload_cut_short": "the upload ended before the body was complete",
    "unsupported_body": "unsupported Content-Type, or a compressed body (Content-Encoding)",
    "upload_too_large": "the song exceeds MSAAS_MAX_UPLOAD_BYTES",
    "invalid_option": "an option is unknown or has an invalid value",
    "callback_refused": "the callback's URL is invalid or not allowed",
    "bad_audio": "the song cannot be decoded",
    "not_audio": "the file has no audio that decodes",
    "audio_too_long": "the song is longer than MSAAS_MAX_DURATION_SECONDS",
    "decoded_too_large": "the song exceeds MSAAS_MAX_DECODED_BYTES when decoded",
    "not_found": "no such call",
    "method_not_allowed": "the call does not support this method; `Allow` lists those it does",
    "job_unknown": "no such job, or not a songhash",
    "job_not_done": "the job is not done; `state` and `progress` say how far it is",
    "stem_unknown": "the job has no such stem; `stems` lists its stems",
    "track_removed": "the stem was removed; post the song again to recreate it",
    "track_unknown": "no such track, or not a track name",
    "waveforms_unknown": "the job has no waveforms, or not yet",
    "object_missing": "the object is no longer in storage",
    "requested_range_not_satisfiable": "the Range is outside the track",
    "conflict": "the job's state does not allow it",
    "redirect_unavailable": "this service gives no links to its object store (MSAAS_S3_PUBLIC_URL)",
    "key_in_url": "the URL contains a key, and URLs are logged; send it as `Authorization: Bearer`",
    "key_missing": "the call needs a key: `Authorization: Bearer <key>`",
    "key_unknown": "the key is unknown or revoked, or the link has expired",
    "scope_missing": "the key's scopes do not cover the call",
    "rate_limited": "too many calls in a minute (MSAAS_RATE_LIMIT_PER_MINUTE)",
    "audio_quota_exceeded": "too many minutes of audio in 24 hours (MSAAS_DAILY_AUDIO_MINUTES)",
    "too_many_songs": "the caller has too many queued and running songs (MSAAS_MAX_SONGS_PER_CALLER)",
    "too_many_callbacks": "the caller has too many bytes of undelivered callbacks",
    "queue_full": "the queue is full (MSAAS_MAX_QUEUE)",
    "forbidden": "the call is disabled, or the request comes from another site's page",
    "unavailable": "temporary; retry later",
    "queue_unavailable": "Redis does not respond",
    "storage_unavailable": "the object store does not respond",
    "storage_full": "the object store has no space left",
    "storage_refused": "the object store refuses the request",
    "object_damaged": "the object store returned fewer bytes than it holds",
    "scratch_full": "this server's scratch disk is full",
    "busy": "this server is at its limit of concurrent work",
    "not_ready": "Redis or the object store does not respond",
    "internal_error": "unexpected error; see the server's log",
}

# of a failed job's `error`
JOB_CODES: Mapping[str, str] = {
    "invalid_option": "the model has no such stem, or an option is invalid",
    "bad_audio": "the song is damaged",
    "not_audio": "the file has no audio that decodes",
    "audio_too_long": "the song is longer than MSAAS_MAX_DURATION_SECONDS",
    "decoded_too_large": "the song exceeds MSAAS_MAX_DECODED_BYTES when decoded",
    "object_missing": "the song is no longer in storage",
    "storage_unavailable": "the object store did not deliver the song or accept its stems",
    "storage_full": "the object store has no space left for the stems",
    "storage_refused": "the object store refused for MSAAS_STORAGE_REFUSAL_SECONDS; the job can be replayed",
    "object_damaged": "the object store returned different bytes from the song that was sent",
    "scratch_full": "the worker's scratch disk is full",
    "model_unavailable": "the model's weights cannot be loaded or downloaded",
    "device_unavailable": "the device set by MSAAS_DEVICE is not available",
    "out_of_memory": "the run needs more memory than the worker has",
    "separation_failed": "the model failed on this song; `detail` has the reason",
    "worker_child_died": "the separation process crashed, or made no progress for MSAAS_STALL_SECONDS",
    "worker_lost": "the worker was lost (killed, out of memory, its machine gone) on every attempt",
    "record_broken": "the job's record in Redis was damaged or overwritten; post the song again to recreate it",
    "too_many_attempts": "the job used up its attempts (MSAAS_MAX_ATTEMPTS)",
    "cancelled": "the run was stopped on request",
    "internal_error": "unexpected error in the worker; see its log",
}

# of a queued job's `waiting_for`: why no worker can run it now
WAIT_CODES: Mapping[str, str] = {
    "no_worker": "no worker is ready: none is running, or all are still loading their model",
    "storage_refused": "the object store refuses uploads; workers start no job until it accepts them again",
    "scratch_full": "the workers' scratch disks are full; workers start no job until there is space",
    "model_not_offered": "no ready worker offers the model (MSAAS_MODEL, MSAAS_MODELS)",
}

# of a done job's `warnings`: defects of the song, and changes made to it
WARNING_CODES: Mapping[str, str] = {
    "packets_skipped": "packets of the song did not decode; their audio is missing from the stems",
    "cut_short": "the file is truncated",
    "not_read": "data after the audio was not read: it is damaged, or a second file",
    "gaps": "the file's timestamps have gaps; the stems continue without a pause",
    "late_start": "the audio starts later than the file; the stems start with the audio",
    "ignored_bytes": "bytes before or within the audio are not audio",
    "not_numbers": "samples were NaN or infinite; they were replaced by silence",
    "downmixed": "more than two channels were mixed down to stereo",
    "turned_down": "the level of all stems was reduced together so that none clips",
}

# of the Python client, `msaas separate --json` and the local stack; the page uses `unreachable`
CLIENT_CODES: Mapping[str, str] = {
    "client_error": "any other error of the client",
    "unreachable": "the service did not answer, after all retries",
    "not_the_service": "the answer is not from this API; the URL points elsewhere",
    "bad_address": "the URL is invalid",
    "bad_key": "the key is invalid, or its file cannot be read",
    "unsafe_name": "a stem's name from the service would leave the output folder",
    "job_failed": "the job failed without a recorded reason",
    "job_cancelled": "the job was cancelled",
    "wait_timeout": "the wait timed out; the job continues",
    "file": "the song cannot be read, or its stems cannot be written, locally",
    "callback_unknown": "no such callback",
    "song_missing": "the file does not exist",
    "unusable_path": "a folder cannot be written or has no songs, or standard input cannot be read",
    "song_failed": "the song was not separated",
    "bad_settings": "a setting is invalid",
    "port_taken": "the API's port is in use",
    "start_failed": "a process of the local stack did not start",
    "stack_running": "another stack is running in this folder",
    "interrupted": "stopped by a signal during startup",
}
