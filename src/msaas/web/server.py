"""uvicorn with our protocol, and the socket it serves on."""

from __future__ import annotations

import logging
import resource
import socket
import sys
import threading
from contextlib import suppress
from functools import partial
from types import FrameType

import uvicorn

from msaas.errors import SettingsError
from msaas.web.asgi.app import AsgiServer
from msaas.web.asgi.limits import KEEP_ALIVE_SECONDS
from msaas.web.asgi.protocol import HttpProtocol

# The local stack ends within 30 s; requests in flight get most of it.
GRACEFUL_SECONDS = 20
BACKLOG = 2048  # the kernel also limits it, net.core.somaxconn
# The event loop releases the interpreter at each send and needs it again at once; with the default of 5 ms, busy
# threads would delay it that long for each of a thousand clients.
SWITCH_SECONDS = 0.0005
FILES_BESIDES = 256  # Redis, the store, logs, libraries


def listen(host: str, port: int) -> socket.socket:
    """The bound socket. Raises SettingsError if the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host} port {port}: {_reason(error)}; set MSAAS_PORT (and MSAAS_HOST) to a free one"
        ) from error


def _reason(error: OSError) -> str:
    """socket.create_server adds the address, in a tuple."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]


class Server:
    """One process: an event loop for the connections, threads for the Flask app. `stopping` is set at a signal."""

    def __init__(self, app: AsgiServer, stopping: threading.Event) -> None:
        self.app, self.stopping = app, stopping

    def run(self, listener: socket.socket) -> None:
        """Serves until a signal, then finishes requests in progress, within GRACEFUL_SECONDS."""
        context = self.app.context
        raise_file_limit(context.limits.connections)
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            context.load()
            _Uvicorn(self.app, self.stopping).run(sockets=[listener])
        finally:
            context.stop()


class _Uvicorn(uvicorn.Server):
    """uvicorn, configured in code, with our protocol for its connections. The same signal twice counts
    once: make's process group and make itself pass it on."""

    def __init__(self, app: AsgiServer, stopping: threading.Event) -> None:
        self._context, self._stopping = app.context, stopping
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        protocol = partial(HttpProtocol, limits=app.context.limits, connections=app.context.connections)
        config = uvicorn.Config(
            app,
            http=protocol,  # type: ignore[arg-type]
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # msaas.web.asgi.environ reads them, for as many proxies as are trusted
            server_header=False,
            headers=[("server", "msaas")],  # hides the software and its version
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        # event streams end by themselves only with their job: without this each stop would take the whole grace
        self._stopping.set()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.stop_streams()
        await super().shutdown(sockets)


def raise_file_limit(connections: int) -> None:
    """A connection takes a file descriptor, its upload or download another."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + FILES_BESIDES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS allows fewer than it reports
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
