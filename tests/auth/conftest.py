"""An API with keys for two tenants, on the real queue and storage."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from flask import Flask
from flask.testing import FlaskClient

from msaas.auth.keys import new_key
from msaas.auth.quotas import Quotas
from msaas.settings.api_keys import Key
from tests.support.api import URL, Player, make_app, player, scratch, song_bytes

__all__ = ["make_app", "player", "scratch"]

ACCOUNT = "key anna"
Result = TypeVar("Result")


def at_once(work: Callable[[int], Result], count: int = 50) -> list[Result]:
    """The results of work(0) to work(count - 1), called by as many threads."""
    with ThreadPoolExecutor(count) as crowd:
        return list(crowd.map(work, range(count)))


def quotas(redis: Any, **limits: Any) -> Quotas:
    """Without the limits that are not given."""
    return Quotas(redis, **({"posts_per_minute": 0, "audio_minutes": 0} | limits))


def used(redis: Any, account: str = ACCOUNT) -> int:
    """Seconds of audio that are charged to the account."""
    return sum(map(int, redis.hvals(f"quota:{account}:audio")))


@dataclass
class Held:
    """The callers of a test, by what they are called here: their keys, in clear and as the API has them."""

    texts: dict[str, str] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)

    def add(self, who: str, name: str, scopes: str) -> None:
        self.texts[who], key = new_key(name, scopes.split("+"))
        self.keys.append(key)

    def headers(self, who: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.texts[who]}"} if who != "nobody" else {}


@pytest.fixture
def held() -> Held:
    held = Held()
    for who, name, scopes in (
        ("anna", "anna", "use"),
        ("anna reading", "anna", "read"),
        ("ben", "ben", "use"),
        ("boss", "boss", "admin"),
    ):
        held.add(who, name, scopes)
    held.texts["wrong"] = new_key("anna", ["use"])[0]
    return held


@pytest.fixture
def app(make_app: Callable[..., Flask], held: Held) -> Flask:
    return make_app(api_keys=tuple(held.keys), debug_endpoints=True)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ask(client: FlaskClient, held: Held) -> Callable[..., Any]:
    """ask("anna", "get", path): the answer to one of the callers."""

    def ask(who: str, method: str, path: str, **more: Any) -> Any:
        return client.open(path, method=method.upper(), headers=held.headers(who) | more.pop("headers", {}), **more)

    return ask


@pytest.fixture
def post(ask: Callable[..., Any]) -> Callable[..., Any]:
    def post(who: str, hertz: float = 440, **more: Any) -> Any:
        return ask(who, "post", URL, data=song_bytes(hertz=hertz), content_type="audio/wav", **more)

    return post


@pytest.fixture
def annas(post: Callable[..., Any], player: Player) -> str:
    """The songhash of a song of Anna's that is separated."""
    songhash = post("anna").json["songhash"]
    assert player.work() == songhash
    return str(songhash)
