"""Clients that misbehave, one attack at a time, against a server on this machine. Started by abuse.py.

Loopback only; as many connections and seconds as it is told, then it ends, and so does everything it opened. It runs in
a process of its own, so that its work does not slow down the client that is measured.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

MAX_CLIENTS, MAX_SECONDS = 2000, 120
SMALL_WINDOW = 2048


@dataclass
class Target:
    """Where to, with whose key, and what there is to ask for. `addresses` is how many the clients come from."""

    port: int
    key: str
    events: str  # path of an event stream
    track: str  # path of a stem of many megabytes
    addresses: int = 1
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError("attacks are for this machine alone")


@dataclass
class Client:
    number: int
    target: Target
    writer: asyncio.StreamWriter | None = None

    async def open(self, window: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        wire = socket.socket()
        try:
            if window:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            wire.setblocking(False)
            wire.bind((f"127.0.1.{1 + self.number % self.target.addresses % 250}", 0))
            await asyncio.get_running_loop().sock_connect(wire, (self.target.host, self.target.port))
        except BaseException:
            wire.close()
            raise
        reader, self.writer = await asyncio.open_connection(sock=wire, limit=window or 65536)
        return reader, self.writer

    def close(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()

    def head(self, line: str, *more: str, key: bool = True) -> bytes:
        lines = [f"{line} HTTP/1.1", "Host: x", *more]
        if key:
            lines.append(f"Authorization: Bearer {self.target.key}")
        return "\r\n".join([*lines, "", ""]).encode()

    def post(self, *more: str, key: bool = True) -> bytes:
        return self.head("POST /apiv1/separate", "Content-Type: audio/mpeg", *more, key=key)


Attack = Callable[[Client], Awaitable[None]]


async def stuck_headers(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(b"GET /heal")
    await reader.read()


async def slow_headers(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    while not reader.at_eof():
        writer.write(b"X-a: b\r\n")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1000), 2)


async def slow_bodies(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(client.post("Content-Length: 1000000"))
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1000), 2)


async def slow_readers(client: Client) -> None:
    reader, writer = await client.open(SMALL_WINDOW)
    writer.write(client.head(f"GET {client.target.track}"))
    await reader.readline()
    while not reader.at_eof():
        await asyncio.sleep(5)
        await reader.read(512)


async def refused_posts(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(client.post("Content-Length: 1000000", key=False) + b"x")
    await reader.readline()
    await reader.read()


async def silence(client: Client) -> None:
    reader, _ = await client.open()
    await reader.read()


async def keep_alives(client: Client) -> None:
    reader, writer = await client.open()
    while not reader.at_eof():
        writer.write(client.head("GET /healthz", key=False))
        await reader.readline()
        await reader.read(4096)
        await asyncio.sleep(1.5)


async def event_streams(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(client.head(f"GET {client.target.events}"))
    await reader.readline()
    while await reader.read(65536):
        pass
    await asyncio.sleep(1)


async def one_byte_chunks(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(client.post("Transfer-Encoding: chunked"))
    answered = asyncio.ensure_future(reader.readline())
    try:
        while not answered.done():
            writer.write(b"1\r\nx\r\n" * 2000)
            await writer.drain()
            await asyncio.sleep(0)
    finally:
        answered.cancel()


async def large_headers(client: Client) -> None:
    reader, writer = await client.open()
    writer.write(client.head("GET /healthz", *(f"X-{n}: {'a' * 8000}" for n in range(95)), key=False))
    await reader.readline()


async def flood(client: Client) -> None:
    await _ask(client, client.head("GET /static/app.js", "Connection: close", key=False))


async def overlapping_ranges(client: Client) -> None:
    many = ",".join(f"{start}-{start + 1000}" for start in range(0, 60000, 50))[:7900].rpartition(",")[0]
    ranges = many if client.number % 2 else "1-"
    await _ask(client, client.head(f"GET {client.target.track}", f"Range: bytes={ranges}", "Connection: close"))


async def _ask(client: Client, head: bytes) -> None:
    reader, writer = await client.open()
    writer.write(head)
    await reader.readline()
    while await reader.read(1 << 18):
        pass


# name ▸ the attack, and how many clients it has
ATTACKS: dict[str, tuple[Attack, int]] = {
    "stuck headers": (stuck_headers, 1100),
    "slow headers": (slow_headers, 1100),
    "slow bodies": (slow_bodies, 1100),
    "slow readers": (slow_readers, 256),
    "refused posts": (refused_posts, 256),
    "silent connections": (silence, 1100),
    "keep-alives": (keep_alives, 1100),
    "event streams": (event_streams, 500),
    "one-byte chunks": (one_byte_chunks, 32),
    "large headers": (large_headers, 64),
    "flood": (flood, 64),
    "overlapping ranges": (overlapping_ranges, 64),
}


def run(name: str, clients: int, seconds: float, target: Target) -> None:
    """Blocks for `seconds`. Raises ValueError where that is more than is allowed here."""
    if clients > MAX_CLIENTS or seconds > MAX_SECONDS:
        raise ValueError(f"at most {MAX_CLIENTS} clients for {MAX_SECONDS} seconds")
    asyncio.run(_run(ATTACKS[name][0], clients, seconds, target))


async def _run(attack: Attack, clients: int, seconds: float, target: Target) -> None:
    tasks = [asyncio.ensure_future(_again(attack, number, target)) for number in range(clients)]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)


async def _again(attack: Attack, number: int, target: Target) -> None:
    """An attacker that is thrown out comes back."""
    while True:
        client = Client(number, target)
        try:
            with suppress(OSError, ValueError):
                await attack(client)
        finally:
            client.close()
        await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311
