"""Connects to Redis and reads its answers. The only place that translates Redis' errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from msaas.errors import QueueUnavailable

# Exceptions of the client library for malformed answers: lengths that are not numbers, missing elements, bytes that are
# not text.
UNEXPECTED_ANSWER = (OSError, ValueError, LookupError, TypeError, AttributeError)


TLS, SENTINEL = "rediss", "sentinel"  # in the scheme of an address


def connect(
    address: str,
    password: str = "",
    *,
    sentinel_password: str = "",
    ca_file: Path | None = None,
    timeout_seconds: float = 10,
    health_check_seconds: int = 0,
) -> Redis:
    """A client that fails at once instead of retrying: a claim sent twice would lease a job to nobody.

    `address`: as REDIS_HOST has it once it is read: `host:port`, `rediss://host:port`, or
    `redis[s]+sentinel://host:port,host:port/name`: each new connection goes to the primary that the Sentinels name.
    `ca_file`: certificates (PEM) that a server with TLS is checked against, instead of the system's.
    `health_check_seconds`: a connection idle for this long is checked before use.
    """
    scheme, _, place = address.rpartition("://")
    hosts, _, primary = place.partition("/")
    servers = [_host_and_port(server) for server in hosts.split(",")]
    wire: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": min(timeout_seconds, 3),
        "retry": Retry(NoBackoff(), 0),
    }
    if scheme.startswith(TLS):
        wire |= {"ssl": True, "ssl_ca_certs": None if ca_file is None else str(ca_file)}
    options: dict[str, Any] = {
        "password": password or None,
        "decode_responses": True,
        # Anybody can push entries: invalid UTF-8 is read as \xff and does not break a list.
        "encoding_errors": "backslashreplace",
        "health_check_interval": health_check_seconds,
    }
    if not scheme.endswith(SENTINEL):
        [(host, port)] = servers
        return Redis(host=host, port=port, **wire, **options)
    sentinels: Any = Sentinel  # without types
    sentinels = sentinels(servers, sentinel_kwargs={"password": sentinel_password or None, **wire})
    client: Redis = sentinels.master_for(primary, **wire, **options)
    return client


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translates Redis' errors: away, loading, out of memory and read-only are all temporary.

    Keep other work out of the block: the client's exceptions for malformed answers look like bugs in MSaaS.
    """
    try:
        yield
    except (RedisError, *UNEXPECTED_ANSWER) as error:
        answered = isinstance(error, ResponseError)
        raise QueueUnavailable(f"the queue (Redis) does not respond correctly: {error}", answered=answered) from error


def is_of_another_type(answer: object) -> bool:
    """Whether the key has another type than the command needs, because somebody overwrote it."""
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def unless_damaged(read: Callable[[], Any], otherwise: Any) -> Any:
    """The result of `read`, or `otherwise` if the key has another type and so contains nothing readable."""
    with redis_errors():
        try:
            return read()
        except ResponseError as error:
            if is_of_another_type(error):
                return otherwise
            raise


def answers(pipe: Any, otherwise: Any = None) -> list[Any]:
    """The answers of a pipeline, with `otherwise` for keys of another type."""
    with redis_errors():
        found = [otherwise if is_of_another_type(answer) else answer for answer in pipe.execute(raise_on_error=False)]
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
    return found
