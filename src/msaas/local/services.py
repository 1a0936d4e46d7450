"""The API and the worker as components of a stack: a module run by this Python, with settings as environment
variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msaas import interpreter
from msaas.errors import DeviceUnavailable, ModelUnavailable
from msaas.local.processes.child import Child, ProcessGuard
from msaas.local.processes.readiness import ask
from msaas.local.servers import LOOPBACK, OnLine, StartFailed

REST_COMMAND = interpreter.command("-m", "msaas.web")
WORKER_COMMAND = interpreter.command("-m", "msaas.worker")
EVERY_ADDRESS = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}  # noqa: S104 (compared, not bound)
# These reasons are permanent: waiting is useless.
PERMANENT_ERRORS = (ModelUnavailable.code, DeviceUnavailable.code)


def reachable(host: str) -> str:
    """The address to connect to for a bind address."""
    return EVERY_ADDRESS.get(host, host)


class Service:
    """Ready once `/readyz` on its port returns 200."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        port: int,
        *,
        host: str = LOOPBACK,
        grace_seconds: float,
        limit_seconds: float,
    ) -> None:
        self.name, self.argv, self.environ, self.port = name, argv, environ, port
        self.host, self.grace_seconds, self.limit_seconds = reachable(host), grace_seconds, limit_seconds

    def launch(self, guard: ProcessGuard, on_line: OnLine | None = None) -> Child:
        return Child(self.argv, guard=guard, env=self.environ, on_line=on_line)

    def ready(self) -> bool:
        """Raises StartFailed if the service reports that it can never become ready."""
        status, body = ask(self.host, self.port, "/readyz")
        reason = str(body.get("reason", ""))
        if status == 503 and reason.startswith(PERMANENT_ERRORS):
            raise StartFailed(f"{self.name} cannot start: {reason}")
        return status == 200

    def clean_up(self) -> None:
        """Its scratch folder is emptied with the stack's."""
