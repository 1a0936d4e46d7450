"""Plans a stack: its components, ports and settings. Starts nothing.

A Redis in REDIS_HOST or a store in MINIO_HOST is used as it is, without a component.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msaas import interpreter
from msaas.errors import MSaaSError, SettingsError
from msaas.local.folder import Folder
from msaas.local.model import ModelChoice, choose_model
from msaas.local.servers import LOOPBACK, Keys, Server, Valkey, Weed, bind_error, free_ports
from msaas.local.services import REST_COMMAND, WORKER_COMMAND, Service
from msaas.scratch import check_writable
from msaas.settings import Settings

DEFAULT_FOLDER = Path(".msaas")
# 30 seconds at most from SIGTERM: 5 for the API, up to 16 for the worker, 1 for S3, 4 for Valkey.
STOP_ORDER = ("rest", "worker", "s3", "valkey")
REST_GRACE_SECONDS = 5.0
WORKER_GRACE_SECONDS = 12.0
MAX_WORKER_GRACE_SECONDS = 16.0
REST_LIMIT_SECONDS = 60.0
WORKER_LIMIT_SECONDS = 900.0  # it may have to download weights first

# Routine log lines, which are hidden. Shown are warnings (Valkey's `#`), errors (weed's E and F) and lines in any other
# form.
_ROUTINE = {
    "valkey": re.compile(r"\d+:(\w .* [.*-] |.* Memory overcommit|signal-handler|.* bye bye)"),
    "s3": re.compile(r"[IW]\d{4} "),
}


class PortTaken(MSaaSError):
    """The API's port is taken."""

    code = "port_taken"


@dataclass(frozen=True)
class Ports:
    """The ports of the API and the worker's health checks."""

    api: int
    worker: int


@dataclass(frozen=True)
class Plan:
    """The parameters of a stack."""

    environ: Mapping[str, str]
    folder: Path = DEFAULT_FOLDER
    any_port: bool = False  # else MSAAS_PORT
    external_limit_seconds: float = 15.0  # for an external Redis or store
    rest_command: Sequence[str] = REST_COMMAND
    worker_command: Sequence[str] = WORKER_COMMAND
    choose: Callable[[Mapping[str, str]], ModelChoice] = choose_model

    def ports(self, settings: Settings) -> Ports:
        """Raises PortTaken or SettingsError before anything is started."""
        if self.any_port:
            return Ports(*free_ports(2))
        _refuse_port("MSAAS_PORT", settings.port, settings.host)
        return Ports(settings.port, self._worker_port(settings))

    def _worker_port(self, settings: Settings) -> int:
        """A free port if none or 0 is set: only the stack needs to know it."""
        port = settings.worker_http_port
        if port == 0 or "MSAAS_WORKER_HTTP_PORT" not in self.environ:
            return next(port for port in free_ports(2) if port != settings.port)
        if port == settings.port:
            raise PortTaken(f"MSAAS_PORT and MSAAS_WORKER_HTTP_PORT are both {port}; change one of them")
        _refuse_port("MSAAS_WORKER_HTTP_PORT", port, LOOPBACK)
        return port

    def scratch(self, settings: Settings, folder: Folder) -> Path:
        """Raises SettingsError."""
        if not self.environ.get("MSAAS_SCRATCH_DIR"):
            return folder.path / "scratch"
        check_writable(settings.scratch_dir)
        return settings.scratch_dir


def _refuse_port(setting: str, port: int, host: str) -> None:
    error = bind_error(port, host)
    if error is None:
        return
    if error.errno != errno.EADDRINUSE:  # a host of another machine, a privileged port
        raise SettingsError(f"{setting}={port}: cannot listen on {host}: {error.strerror or error}")
    other = port + 1 if port < 65535 else 5001
    raise PortTaken(
        f"port {port} on {host} is taken; stop the process that uses it, or choose another port with {setting}={other}"
    )


@dataclass(frozen=True)
class StackComponents:
    """The components in start order, and the settings of the API and the worker."""

    servers: Sequence[Server]
    services: Sequence[Server]
    environ: Mapping[str, str]
    external_limit_seconds: float


def assemble(plan: Plan, folder: Folder, ports: Ports, scratch: Path, model: ModelChoice) -> StackComponents:
    environ = interpreter.environment(plan.environ)
    if scratch == folder.path / "scratch":  # a folder set by the user may contain other files
        _empty(scratch)
    servers: list[Server] = []
    if not environ.get("REDIS_HOST"):
        servers.append(_valkey(folder, environ))
    if not environ.get("MINIO_HOST"):
        servers.append(_weed(folder, environ))
    environ |= {
        **model.environ,
        "MSAAS_PORT": str(ports.api),
        "MSAAS_WORKER_HTTP_PORT": str(ports.worker),
        "MSAAS_DEBUG_ENDPOINTS": environ.get("MSAAS_DEBUG_ENDPOINTS", "true"),
        "MSAAS_SCRATCH_DIR": str(scratch),
        "MSAAS_GRACE_SECONDS": environ.get("MSAAS_GRACE_SECONDS", str(WORKER_GRACE_SECONDS)),
        "PYTHONUNBUFFERED": "1",  # log lines appear immediately
    }
    return StackComponents(servers, _services(plan, environ), environ, plan.external_limit_seconds)


def _valkey(folder: Folder, environ: dict[str, str]) -> Valkey:
    server = Valkey(folder.path / "valkey", folder.ports("valkey", 1)[0])
    environ |= {"REDIS_HOST": server.address, "MSAAS_REDIS_PASSWORD": ""}
    return server


def _weed(folder: Folder, environ: dict[str, str]) -> Weed:
    server = Weed(folder.path / "s3", Keys.kept_in(folder.path / "keys.json"), folder.ports("s3", 4))
    environ |= {
        "MINIO_HOST": server.address,
        "MINIO_ACCESS_KEY": server.keys.access,
        "MINIO_SECRET_KEY": server.keys.secret,
        "MINIO_SECURE": "false",
    }
    return server


def _services(plan: Plan, environ: Mapping[str, str]) -> list[Server]:
    settings = Settings.from_env(environ)
    rest = Service(
        "rest",
        plan.rest_command,
        environ,
        settings.port,
        host=settings.host,
        grace_seconds=REST_GRACE_SECONDS,
        limit_seconds=REST_LIMIT_SECONDS,
    )
    worker = Service(
        "worker",
        plan.worker_command,
        environ,
        settings.worker_http_port,
        grace_seconds=min(settings.grace_seconds + 3, MAX_WORKER_GRACE_SECONDS),
        limit_seconds=WORKER_LIMIT_SECONDS,
    )
    return [rest, worker]


def _empty(folder: Path) -> None:
    """Deletes the scratch files of a killed stack."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def is_shown(component: str) -> Callable[[str], bool]:
    routine = _ROUTINE.get(component)
    return lambda line: routine is None or routine.match(line) is None
