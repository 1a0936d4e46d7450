"""Every error MSaaS raises on purpose, in one tree, and the one catalogue of their codes. No I/O.

MSaaSError
├── RequestError            the caller can mend it
│   ├── BadRequest          400  the body cannot be read as what it says it is
│   ├── UnsupportedBody     415  none of the three body types
│   ├── UploadTooLarge      413
│   ├── ClientTooSlow       408  the body comes slower than the least rate
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
├── SandboxError            500  the process that reads songs failed, and no song is to blame
├── Unavailable             503  passes by itself: worth another try
│   ├── QueueUnavailable         Redis is away
│   ├── StorageUnavailable       the object store is away
│   │   ├── StorageFull              it answers, and has no room left: full, or its quota reached
│   │   ├── StorageRefused           it answers, and refuses for another reason
│   │   └── ObjectDamaged            what it answers is not what was stored
│   ├── QueueFull                more songs wait than may
│   └── Busy                     this server has its hands full
├── RecordBroken            the job's record does not say what to do
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
    """Root of the tree. `code` is for programs, the message for people.

    `public` replaces the message for callers where the message may name the service's own machines: logs have it.
    """

    code = "internal_error"
    status = 500
    public: str | None = None
    retry_after_seconds: int | None = None
    headers: Mapping[str, str] = {}  # that belong to the answer

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
    """`code` tells which: `rate_limited`, `audio_quota_exceeded`, `too_many_songs`, `too_many_callbacks`."""

    status = 429

    def __init__(self, message: str, code: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of_audio(
        cls, limit_seconds: int, seconds: int, retry_after_seconds: int, *, reserved: bool = False
    ) -> QuotaExceeded:
        """`reserved`: what is left of the day is kept for songs of the caller that have not ended."""
        minutes, most = f"{seconds / 60:.1f}", f"{limit_seconds / 60:g}"
        message = (
            f"this song has {minutes} minutes; {most} minutes of audio in 24 hours are the limit, less what was used"
        )
        if reserved:
            message += " and what your songs that are not done yet may turn out to have; try again when one is done"
        return cls(message, "audio_quota_exceeded", retry_after_seconds)

    @classmethod
    def of_songs(cls, most: int) -> QuotaExceeded:
        return cls(
            f"{most} of your songs wait or run already, the limit here; try again when some are done",
            "too_many_songs",
            retry_after_seconds=30,
        )

    @classmethod
    def of_callbacks(cls) -> QuotaExceeded:
        return cls(
            "your callbacks that wait or are being delivered take up all the room there is for them (32 MB);"
            " try again when some are delivered",
            "too_many_callbacks",
            retry_after_seconds=60,
        )


class AudioError(RequestError):
    """`cpu_seconds`: processor time that it took to find out, 0 where nobody measured it."""

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
    """Its code is `internal_error`. The traceback, where there is one, is in the log."""


class Unavailable(MSaaSError):
    code = "unavailable"
    status = 503
    retry_after_seconds = 5


class QueueUnavailable(Unavailable):
    code = "queue_unavailable"
    public: str | None = "the queue (Redis) does not answer as it should"


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    public: str | None = "the object store does not answer as it should"


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


# --- the catalogue: every code that a program can meet, and what it means. A code never changes its meaning.

# of a problem document, which is how the API answers an error
PROBLEM_CODES: Mapping[str, str] = {
    "bad_request": "the body cannot be read",
    "bad_json": "the body is no JSON object, was cut short, or has more than 1 MB besides `mp3`",
    "bad_base64": "`mp3` is no base64",
    "bad_multipart": "the form cannot be read, or has more than one file",
    "bad_chunks": "the body's chunked encoding is broken, or its chunks have a byte or two each",
    "client_too_slow": "the body came slower than MSAAS_SLOW_CLIENT_BYTES_PER_SECOND over MSAAS_SLOW_CLIENT_SECONDS",
    "headers_too_late": "the headers took longer than MSAAS_HEADER_SECONDS",
    "headers_too_large": "the headers have more than 32,000 bytes, or there are more than 100",
    "uri_too_long": "the address has more than 8,000 bytes",
    "missing_mp3": "the JSON has no `mp3`",
    "missing_file": "the form has no file named `file`",
    "empty_file": "the song has no bytes",
    "upload_cut_short": "fewer bytes came than were announced",
    "unsupported_body": "neither JSON, nor a form, nor audio; or compressed (Content-Encoding)",
    "upload_too_large": "more bytes than MSAAS_MAX_UPLOAD_BYTES",
    "invalid_option": "an option, stem, format, model or number that there is not",
    "callback_refused": "a callback that leads where none may go",
    "bad_audio": "the song is at fault",
    "not_audio": "nothing in the song decodes to sound",
    "audio_too_long": "more seconds than MSAAS_MAX_DURATION_SECONDS",
    "decoded_too_large": "more decoded bytes than MSAAS_MAX_DECODED_BYTES",
    "not_found": "no such call",
    "method_not_allowed": "the call takes other methods; `Allow` names them",
    "job_unknown": "no such job, or no songhash",
    "job_not_done": "its stems are not there yet; `state` and `progress` tell how far it is",
    "stem_unknown": "the job has no such stem; `stems` names those it has",
    "track_removed": "the stem was removed; the song, posted again, brings it back",
    "track_unknown": "no such track, or no track's name",
    "waveforms_unknown": "nothing is drawn of the job, or not yet",
    "object_missing": "it is in storage no longer",
    "requested_range_not_satisfiable": "the Range lies outside of the track",
    "conflict": "the job's state does not allow it",
    "redirect_unavailable": "this service hands out no links to its store (MSAAS_S3_PUBLIC_URL)",
    "key_in_url": "a key stands in the address, where logs keep it: it goes into `Authorization: Bearer`",
    "key_missing": "the call needs a key: `Authorization: Bearer <key>`",
    "key_unknown": "no such key, or it was taken away; of a link: it is over",
    "scope_missing": "the key is known, and its scopes do not cover the call",
    "rate_limited": "too many calls within a minute (MSAAS_RATE_LIMIT_PER_MINUTE)",
    "audio_quota_exceeded": "too many minutes of audio within 24 hours (MSAAS_DAILY_AUDIO_MINUTES)",
    "too_many_songs": "as many songs of the caller wait or run as may (MSAAS_MAX_SONGS_PER_CALLER)",
    "too_many_callbacks": "the caller's callbacks that are not delivered yet take up all the room there is for them",
    "queue_full": "as many songs wait as may (MSAAS_MAX_QUEUE)",
    "forbidden": "switched off here, or asked for by another site's page",
    "unavailable": "passes by itself",
    "queue_unavailable": "Redis is away",
    "storage_unavailable": "the object store is away",
    "storage_full": "the object store has no room left",
    "storage_refused": "the object store answers, and refuses",
    "object_damaged": "the object store answered fewer bytes than it holds",
    "scratch_full": "this server's disk is full of other uploads",
    "busy": "this server has its hands full",
    "not_ready": "Redis or the object store is out of reach",
    "internal_error": "something went wrong here; the server's log has the details",
}

# of a failed job's `error`
JOB_CODES: Mapping[str, str] = {
    "invalid_option": "the model has no stem of that name, or there is no such option",
    "bad_audio": "the song is damaged",
    "not_audio": "nothing in the song decodes to sound",
    "audio_too_long": "more seconds than MSAAS_MAX_DURATION_SECONDS",
    "decoded_too_large": "more decoded bytes than MSAAS_MAX_DECODED_BYTES",
    "object_missing": "the song is in storage no longer",
    "storage_unavailable": "the object store refused the song or its stems",
    "storage_full": "the object store has no room left for the stems",
    "storage_refused": "the object store refused for MSAAS_STORAGE_REFUSAL_SECONDS; the song can be replayed",
    "object_damaged": "the object store answers other bytes than the song that was sent",
    "scratch_full": "the worker's disk has no room left for temporary files",
    "model_unavailable": "the weights of the model cannot be had",
    "device_unavailable": "the device that MSAAS_DEVICE names is not there",
    "out_of_memory": "the worker's memory does not hold the run",
    "separation_failed": "the model failed on this song; `detail` has the reason",
    "worker_child_died": "the separation process ended in mid-run, or made no progress for MSAAS_STALL_SECONDS",
    "worker_lost": "the worker was lost in mid-run (killed, out of memory, its machine gone) on every attempt",
    "record_broken": "the job's record in Redis was damaged or overwritten; the song, posted again, makes it anew",
    "too_many_attempts": "the job used up its attempts (MSAAS_MAX_ATTEMPTS)",
    "cancelled": "the run was stopped on request",
    "internal_error": "something went wrong in the worker; its log has the details",
}

# of a queued job's `waiting_for`: what has to come before anybody can run it
WAIT_CODES: Mapping[str, str] = {
    "no_worker": "no worker is ready: none runs, or those that run are still loading their model",
    "storage_refused": "the object store refuses what the workers put; they start no song until it takes it again",
    "scratch_full": "the workers' disks have no room for temporary files; they start no song until there is some",
    "model_not_offered": "workers are ready, and none of them offers the model (MSAAS_MODEL, MSAAS_MODELS)",
}

# of a done job's `warnings`: what was amiss with the song, or had to be done to it
WARNING_CODES: Mapping[str, str] = {
    "packets_skipped": "packets of the song did not decode; what they held is missing from the stems",
    "cut_short": "the file ends before its sound does",
    "not_read": "a part of the file behind the sound was not read: it is damaged, or another file",
    "gaps": "the timestamps of the file have holes; the stems go on without a pause there",
    "late_start": "the sound begins later than the file; the stems begin with the sound",
    "ignored_bytes": "bytes in front of the sound, or within it, are no sound",
    "not_numbers": "samples were no numbers (NaN or infinite); silence is in their place",
    "downmixed": "more than two channels were mixed to stereo",
    "turned_down": "all stems were turned down together, so that none of them clips",
}

# of what the Python client raises, `msaas separate --json` prints and the local stack says; the page has `unreachable`
CLIENT_CODES: Mapping[str, str] = {
    "client_error": "the client cannot go on; the other codes here are narrower",
    "unreachable": "no answer, however often it was asked for",
    "not_the_service": "an answer, but not one of this API: the URL leads somewhere else",
    "bad_address": "the URL is none",
    "bad_key": "the key is none, or cannot be read",
    "unsafe_name": "a stem's name, as the service has it, would lead out of its folder",
    "job_failed": "the job failed, and its record has no reason",
    "job_cancelled": "the job was cancelled",
    "wait_timeout": "the job goes on; the caller had no more time",
    "file": "the song cannot be read, or its stems cannot be written, on this machine",
    "callback_unknown": "no such callback",
    "song_missing": "there is no such file",
    "unusable_path": "a folder cannot be written, or has no songs; standard input cannot be read",
    "song_failed": "the song was not separated",
    "bad_settings": "a setting is wrong: refused at start",
    "port_taken": "the API's port is in use",
    "start_failed": "a part of the local stack did not come up",
    "stack_running": "a stack runs in this folder already",
    "interrupted": "stopped by a signal while it was starting",
}
