"""Sends one call to the API, with retries until there is an answer. Independent of jobs.

Repeating a call is harmless, even a POST: a song's bytes and options determine its job, and its Idempotency-Key the
answer. Only the callback of a mix may come twice.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import requests

from msaas.client.errors import BadAddress, BadKey, ClientError, NotTheService, ServiceError, Unreachable
from msaas.client.names import printable

TIMEOUT_SECONDS = (5, 120)  # to connect; between two bytes of the answer
FIRST_PAUSE_SECONDS = 0.25
MAX_PAUSE_SECONDS = 10.0
MAX_RETRY_AFTER_SECONDS = 120.0
CONFLICT = 409
# too many requests; a proxy whose server restarts; busy, or Redis or S3 unavailable
TOO_MANY_REQUESTS = 429
TEMPORARY = frozenset({TOO_MANY_REQUESTS, 502, 503, 504})
CONNECTION_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
NO_SUCH_CALL = "not_found"  # the code of the API's general 404; unknown jobs, tracks and stems have their own
_API_PATH = re.compile(r"/apiv1(/.*)?$")
_KEY = re.compile(r"[\x21-\x7e]+")
_WRAPPER = re.compile(r"^<?[\w.]*HTTPS?Connection(Pool)?\b.*?[>)]: ")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


OnRetry = Callable[[str, float], object]


class Bearer(requests.auth.AuthBase):
    """An auth object instead of a session header, which requests would overwrite with credentials from ~/.netrc."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Transport:
    """`retries`: attempts after the first; `sleep` waits between them, and may raise to stop early. `on_retry` is
    called before a call is repeated, with the reason and the seconds until then."""

    def __init__(
        self,
        url: str,
        *,
        key: str = "",
        retries: int,
        sleep: Callable[[float], None],
        on_retry: OnRetry = lambda _reason, _seconds: None,
    ) -> None:
        self.url = base_url(url)
        parts = urlsplit(self.url)
        self.retries, self.sleep, self._on_retry = retries, sleep, on_retry
        self._session = requests.Session()
        if key := key.strip():
            if not _KEY.fullmatch(key):
                raise BadKey("a key must consist of printable ASCII characters without spaces")
            self._session.auth = Bearer(key)
        if parts.hostname in _LOOPBACK:
            self._session.trust_env = False  # no proxy for this machine

    def close(self) -> None:
        self._session.close()

    def request_json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The answer's JSON object. Raises ServiceError, Unreachable, NotTheService."""
        with self.call(method, path, **options) as response:
            refuse_problem(response)
            return json_object(response)

    def call(
        self, method: str, path: str, *, body: Callable[[], Any] | None = None, **options: Any
    ) -> requests.Response:
        """The first answer that is not a temporary failure, or the last one. Raises Unreachable.

        `body` creates the body for each attempt.
        """
        for pause in self.pauses():
            try:
                response = self.once(method, path, data=body() if body else None, **options)
            except CONNECTION_ERRORS as error:
                if pause is None:
                    raise self.unreachable(error) from error
                self.pause(pause, f"{self.url} does not answer: {reason_of(error)}")
                continue
            if not is_temporary(response) or pause is None:
                return response
            response.close()
            self.pause(min(retry_after(response) or pause, MAX_RETRY_AFTER_SECONDS), answered(response))
        raise AssertionError("not reached")

    def once(self, method: str, path: str, **options: Any) -> requests.Response:
        """Raises requests' errors for a lost connection, and BadAddress or NotTheService for other errors."""
        # no redirects: requests follows a POST's redirect with a GET, without the song
        try:
            return self._session.request(
                method, self.url + path, timeout=TIMEOUT_SECONDS, allow_redirects=False, **options
            )
        except CONNECTION_ERRORS:
            raise
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
            raise BadAddress(f"{printable(self.url)!r} is not a usable URL: {printable(str(error))}") from error
        except requests.RequestException as error:
            raise NotTheService(f"{printable(self.url)} cannot be called: {reason_of(error)}") from error

    def pauses(self) -> Iterator[float | None]:
        """Seconds to wait after each attempt, None after the last. With jitter: many clients lose a server at the same
        time."""
        for attempt in range(self.retries):
            longest = min(FIRST_PAUSE_SECONDS * 2**attempt, MAX_PAUSE_SECONDS)
            yield longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        yield None

    def pause(self, seconds: float, reason: str) -> None:
        """Waits before a call is repeated."""
        self._on_retry(reason, seconds)
        self.sleep(seconds)

    def unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.url} did not answer (tried {self.retries + 1} times): {reason_of(error)}")


def base_url(url: str) -> str:
    """The URL to append API paths to: a URL of a call (`…/apiv1`) is cut there.

    Raises BadAddress.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        usable = False
    if not usable:
        hint = "" if "//" in text else f"; try http://{text}"
        raise BadAddress(f"{printable(url)!r} is not an http or https URL{hint}")
    if parts.query or parts.fragment:
        raise BadAddress(f"{printable(url)!r} has a query or a fragment; give http(s)://host[:port][/path]")
    return _API_PATH.sub("", text).rstrip("/")


def retry_after(response: requests.Response) -> float | None:
    """Seconds; the API never sends the date form."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def is_temporary(response: requests.Response) -> bool:
    """A conflict that passes has Retry-After: the first attempt with the same Idempotency-Key is not answered yet."""
    if response.status_code == CONFLICT:
        return "Retry-After" in response.headers
    return response.status_code in TEMPORARY and not _is_quota_exhausted(response)


def _is_quota_exhausted(response: requests.Response) -> bool:
    """A daily quota is used up: no retry in reasonable time helps. A server that is away may return sooner than it
    says."""
    return response.status_code == TOO_MANY_REQUESTS and (retry_after(response) or 0) > MAX_RETRY_AFTER_SECONDS


def reason_of(error: BaseException) -> str:
    """urllib3 wraps the cause several times, each with the full URL."""
    cause = error.args[0] if error.args else error
    reason = getattr(cause, "reason", cause)
    return _WRAPPER.sub("", str(reason)) or type(error).__name__


def answered(response: requests.Response) -> str:
    return f"{response.url} answered {response.status_code} {response.reason}"


def refuse_problem(response: requests.Response) -> None:
    """Raises ServiceError for a status of 400 and above; NotTheService for a redirect or without a problem document."""
    if response.is_redirect:
        raise NotTheService(f"{response.url} redirects to {response.headers['Location']}: use that URL")
    if response.status_code < 400:
        return
    try:
        found = response.json()
        code, detail = str(found["code"]), str(found.get("detail") or found.get("title") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _unexpected_answer(response) from None
    if code == NO_SUCH_CALL:
        raise NotTheService(f"{response.url} does not have this call: check the service's URL")
    raise ServiceError(code, detail, response.status_code, found)


def json_object(response: requests.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NotTheService(f"{response.url} answered {response.status_code} without a JSON object")
    return found


def _unexpected_answer(response: requests.Response) -> ClientError:
    """A gateway's error page does not mean a wrong URL; any other page without a code does."""
    message = answered(response)
    if response.status_code in TEMPORARY:
        return ServiceError("unavailable", message, response.status_code)
    return NotTheService(f"{message}, unlike MSaaS")
