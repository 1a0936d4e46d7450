"""The API and the worker as parts of a stack: this Python, a module, settings as environment variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msaas import interpreter
from msaas.errors import DeviceUnavailable, ModelUnavailable
from msaas.local.processes.child import Child, ProcessGuard
from msaas.local.processes.readiness import ask
from msaas.local.servers import LOOPBACK, OnLine, StartFailed

REST_COMMAND = interpreter.command("-m", "msaas.web")
WORKER_COMMAND = interpreter.command("-m", "msaas.worker")
EVERY_ADDRESS = {"0.0.0.0": LOOPBACK, "": LOOPBACK, "::": "::1"}  # noqa: S104 (told apart, not bound)
# A worker that names one of these will name it again: waiting for it is no use.
HOPELESS = (ModelUnavailable.code, DeviceUnavailable.code)


def reachable(host: str) -> str:
    """Where to reach what binds to `host`."""
    return EVERY_ADDRESS.get(host, host)


class Service:
    """Ready once `/readyz` answers 200 on its port."""

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
        """Raises StartFailed where the part says that it cannot become ready."""
        status, body = ask(self.host, self.port, "/readyz")
        reason = str(body.get("reason", ""))
        if status == 503 and reason.startswith(HOPELESS):
            raise StartFailed(f"{self.name} cannot start: {reason}")
        return status == 200

    def clean_up(self) -> None:
        """Its scratch is emptied with the stack's."""
