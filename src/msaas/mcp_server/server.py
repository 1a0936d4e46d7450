"""Builds the server from its tools, and runs it over stdio or streamable HTTP."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from msaas import __version__
from msaas.client import Client
from msaas.errors import MSaaSError
from msaas.mcp_server.folder import SharedFolder
from msaas.mcp_server.tools import Tools

INSTRUCTIONS = (
    "Separates songs into stems (vocals, drums, bass, other) with a service of MSaaS. The usual order is: separate, "
    "follow until `ended`, fetch_stems; mix_stems makes one file of them. Only files below the server's folder can be "
    "read and written."
)
HTTP_PATH = "/mcp"


class BadBinding(MSaaSError):
    """The address cannot be served."""

    code = "bad_address"


def build_server(make_client: Callable[[], Client], folder: Path) -> MCPServer[None]:
    """`folder`: the only one whose files an agent may read and write."""
    server: MCPServer[None] = MCPServer(
        "msaas", title="MSaaS", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING"
    )
    tools = Tools(make_client, SharedFolder.at(folder))
    looks = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    changes = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
    ends = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
    server.tool(title="Separate a song", annotations=changes)(tools.separate)
    server.tool(title="Wait for a job", annotations=looks)(tools.follow)
    server.tool(title="Mix stems", annotations=changes)(tools.mix_stems)
    server.tool(title="Save stems as files", annotations=changes)(tools.fetch_stems)
    server.tool(title="List one's own songs", annotations=looks)(tools.list_songs)
    server.tool(title="List models", annotations=looks)(tools.list_models)
    server.tool(title="Cancel a job", annotations=ends)(tools.cancel)
    return server


def serve_stdio(server: MCPServer[None]) -> None:
    """Until standard input ends."""
    server.run("stdio")


def serve_http(server: MCPServer[None], address: str) -> None:
    """`address`: host:port of this machine. Raises BadBinding.

    Loopback only: anyone who reaches the server uses its key and its folder. Requests must name a loopback host, so
    that a page of another site cannot reach it by a name of its own.
    """
    host, port = _loopback(address)
    where = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"msaas mcp: http://{where}:{port}{HTTP_PATH}\n")
    server.run("streamable-http", host=host, port=port, streamable_http_path=HTTP_PATH)


def _loopback(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError as error:
        raise BadBinding(f"{address[:80]!r} is not host:port, as in 127.0.0.1:5001") from error
    if not inside:
        raise BadBinding(
            f"{host} is not an address of this machine only; all who reach the server use its key and folder: "
            "use 127.0.0.1, behind a proxy that checks who calls"
        )
    return host, number
