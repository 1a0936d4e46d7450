"""How Redis is reached, and how its answers are read: its errors become ours here, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from msaas.errors import QueueUnavailable

# What the client library raises beside its own errors where an answer is not what Redis sends: lengths that are no
# numbers, words that are missing, bytes that are no text.
STRANGE_ANSWER = (OSError, ValueError, LookupError, TypeError, AttributeError)


def connect(address: str, password: str = "", *, timeout_seconds: float = 10, health_check_seconds: int = 0) -> Redis:
    """A client that fails at once rather than retrying: a claim sent twice would be a job leased to nobody.

    `address`: host:port. `health_check_seconds`: a connection that was silent this long is asked whether it lives.
    """
    host, _, port = address.rpartition(":")
    return Redis(
        host=host.strip("[]"),
        port=int(port),
        password=password or None,
        decode_responses=True,
        # Anybody can push entries: one that is not UTF-8 is read as \xff, and breaks no list.
        encoding_errors="backslashreplace",
        socket_timeout=timeout_seconds,
        socket_connect_timeout=min(timeout_seconds, 3),
        health_check_interval=health_check_seconds,
        retry=Retry(NoBackoff(), 0),
    )


@contextmanager
def redis_errors() -> Iterator[None]:
    """Redis' own errors as ours: away, loading, out of memory and read-only all pass by themselves.

    Keep other work out of the block: what the client raises for a strange answer cannot be told from a bug of ours.
    """
    try:
        yield
    except (RedisError, *STRANGE_ANSWER) as error:
        raise QueueUnavailable(f"the queue (Redis) does not respond correctly: {error}") from error


def is_of_another_type(answer: object) -> bool:
    """The key holds another type than the command is for: somebody wrote something else there."""
    return isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE")


def unless_damaged(read: Callable[[], Any], otherwise: Any) -> Any:
    """What `read` returns, or `otherwise` where the key is of another type: it holds nothing that we could read."""
    with redis_errors():
        try:
            return read()
        except ResponseError as error:
            if is_of_another_type(error):
                return otherwise
            raise


def answers(pipe: Any, otherwise: Any = None) -> list[Any]:
    """The answers of a pipeline, `otherwise` in place of those whose key is of another type."""
    with redis_errors():
        found = [otherwise if is_of_another_type(answer) else answer for answer in pipe.execute(raise_on_error=False)]
        for answer in found:
            if isinstance(answer, Exception):
                raise answer
    return found
