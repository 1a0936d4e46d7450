"""An ASGI app that runs the Flask app in threads and sends its responses at each client's own pace.

Threads run the Flask app and write uploads to disk, nothing else. The event loop waits for bodies, sends answers and
lingers with rejected clients, so a slow client occupies a connection but no thread.
"""

from __future__ import annotations

import asyncio
from typing import Any

from msaas.web.asgi.context import ServerContext
from msaas.web.asgi.environ import environ_of
from msaas.web.asgi.protocol import TooSlow, connection_of
from msaas.web.asgi.request import Request


class AsgiServer:
    """`trusted_proxies`: how many are in front of this server."""

    def __init__(self, context: ServerContext, *, trusted_proxies: int = 0) -> None:
        self.context, self.trusted_proxies = context, trusted_proxies

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002 - the cycle has both
        connection, cycle = connection_of(scope)
        try:
            await Request(self.context, connection, cycle, environ_of(scope, self.trusted_proxies)).serve()
        except TooSlow:
            connection.drop("too_slow")
        except ConnectionResetError:
            connection.transport.abort()
        if connection.transport.is_closing():
            await asyncio.sleep(0)  # lets connection_lost run before uvicorn checks whether the answer was complete
