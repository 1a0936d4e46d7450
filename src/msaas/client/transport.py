"""One call to the API, made again until there is an answer. Knows HTTP, no jobs.

Making a call again is harmless, POST included: a song's bytes and options name its job.
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
LONGEST_PAUSE_SECONDS = 10.0
LONGEST_RETRY_AFTER_SECONDS = 120.0
# too many requests; a proxy whose server is being replaced; busy, or Redis or S3 away for the moment
TOO_MANY_REQUESTS = 429
PASSING = frozenset({TOO_MANY_REQUESTS, 502, 503, 504})
LOST = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
NO_SUCH_CALL = "not_found"  # of the API's own 404; a job, track or stem that is unknown has a code of its own
_API_PATH = re.compile(r"/apiv1(/.*)?$")
_KEY = re.compile(r"[\x21-\x7e]+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Bearer(requests.auth.AuthBase):
    """An auth object, not a header of the session: requests would put what ~/.netrc holds in that one's place."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request


class Transport:
    """`retries` further tries after the first; `sleep` waits between them, and may raise to give up sooner."""

    def __init__(self, url: str, *, key: str = "", retries: int, sleep: Callable[[float], None]) -> None:
        self.url = base_url(url)
        parts = urlsplit(self.url)
        self.retries, self.sleep = retries, sleep
        self._session = requests.Session()
        if key := key.strip():
            if not _KEY.fullmatch(key):
                raise BadKey("a key has printable ASCII characters only, and no spaces")
            self._session.auth = Bearer(key)
        if parts.hostname in _LOOPBACK:
            self._session.trust_env = False  # no proxy between us and this machine

    def close(self) -> None:
        self._session.close()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The answer's JSON object. Raises ServiceError, Unreachable, NotTheService."""
        with self.call(method, path, **options) as response:
            refuse_problem(response)
            return json_object(response)

    def call(
        self, method: str, path: str, *, body: Callable[[], Any] | None = None, **options: Any
    ) -> requests.Response:
        """The first answer that is not to pass by itself; the last one where all are. Raises Unreachable.

        `body` makes the body anew for each try.
        """
        for pause in self.pauses():
            try:
                response = self.once(method, path, data=body() if body else None, **options)
            except LOST as error:
                if pause is None:
                    raise self.unreachable(error) from error
                self.sleep(pause)
                continue
            if response.status_code not in PASSING or pause is None or _is_used_up(response):
                return response
            response.close()
            self.sleep(min(_retry_after(response) or pause, LONGEST_RETRY_AFTER_SECONDS))
        raise AssertionError("not reached")

    def once(self, method: str, path: str, **options: Any) -> requests.Response:
        """Raises requests' errors of a lost connection; BadAddress, NotTheService for its others."""
        # no redirects: requests follows one of a POST with a GET, and the song would be lost on the way
        try:
            return self._session.request(
                method, self.url + path, timeout=TIMEOUT_SECONDS, allow_redirects=False, **options
            )
        except LOST:
            raise
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
            raise BadAddress(f"{printable(self.url)!r} is no usable URL: {printable(str(error))}") from error
        except requests.RequestException as error:
            raise NotTheService(f"{printable(self.url)} cannot be asked: {_reason(error)}") from error

    def pauses(self) -> Iterator[float | None]:
        """Seconds to wait after each try, None after the last. With jitter: many clients lose one server together."""
        for attempt in range(self.retries):
            longest = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
            yield longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        yield None

    def unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.url} does not answer (tried {self.retries + 1} times): {_reason(error)}")


def base_url(url: str) -> str:
    """The address that the API's paths are put behind: one that leads to a call (`…/apiv1`) is cut before it.

    Raises BadAddress.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # the port, or brackets that are no IPv6 address
        usable = False
    if not usable:
        hint = "" if "//" in text else f"; try http://{text}"
        raise BadAddress(f"{printable(url)!r} is no http or https URL{hint}")
    if parts.query or parts.fragment:
        raise BadAddress(f"{printable(url)!r} has a query or a fragment; give http(s)://host[:port][/path]")
    return _API_PATH.sub("", text).rstrip("/")


def _retry_after(response: requests.Response) -> float | None:
    """Seconds; the date form is for caches, and no server of ours sends it."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _is_used_up(response: requests.Response) -> bool:
    """A day's quota, which no try within reason outwaits. A server that is away may be back sooner than it says."""
    return response.status_code == TOO_MANY_REQUESTS and (_retry_after(response) or 0) > LONGEST_RETRY_AFTER_SECONDS


def _reason(error: BaseException) -> str:
    """urllib3 wraps the cause several times, each with the whole of the URL."""
    cause = error.args[0] if error.args else error
    reason = getattr(cause, "reason", cause)
    return str(reason).rpartition(">: ")[2] or type(error).__name__


def refuse_problem(response: requests.Response) -> None:
    """Raises ServiceError for an answer of 400 and more; NotTheService for a redirect, or no problem document."""
    if response.is_redirect:
        raise NotTheService(f"{response.url} leads on to {response.headers['Location']}: use the address of that")
    if response.status_code < 400:
        return
    try:
        found = response.json()
        code, detail = str(found["code"]), str(found.get("detail") or found.get("title") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _stranger(response) from None
    if code == NO_SUCH_CALL:
        raise NotTheService(f"{response.url} answered that there is no such call: is the service's address right?")
    raise ServiceError(code, detail, response.status_code, found)


def json_object(response: requests.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise NotTheService(f"{response.url} answered {response.status_code} with something that is no JSON object")
    return found


def _stranger(response: requests.Response) -> ClientError:
    """A gateway's page is no sign of a wrong address; any other page without a code is."""
    told = f"{response.url} answered {response.status_code} {response.reason}"
    if response.status_code in PASSING:
        return ServiceError("unavailable", told, response.status_code)
    return NotTheService(f"{told}, not as MSaaS answers")
