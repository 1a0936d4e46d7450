"""Builds the server from its tools, and runs it over stdio or streamable HTTP."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations
from pydantic import ConfigDict

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
    tools = Tools(make_client, SharedFolder.at(folder))
    looks = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    changes = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
    ends = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
    offered = [
        strict_tool(tools.separate, "Separate a song", changes),
        strict_tool(tools.follow, "Wait for a job", looks),
        strict_tool(tools.mix_stems, "Mix stems", changes),
        strict_tool(tools.fetch_stems, "Save stems as files", changes),
        strict_tool(tools.list_songs, "List one's own songs", looks),
        strict_tool(tools.list_models, "List models", looks),
        strict_tool(tools.cancel, "Cancel a job", ends),
    ]
    server: MCPServer[None] = MCPServer(
        "msaas", title="MSaaS", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING", tools=offered
    )
    return server


def strict_tool(work: Callable[..., Any], title: str, annotations: ToolAnnotations) -> Tool:
    """A tool that refuses arguments which it does not have; the package's own would ignore them."""
    tool = Tool.from_function(work, title=title, annotations=annotations)
    own = tool.fn_metadata.arg_model
    strict = type(own.__name__, (own,), {"model_config": ConfigDict(extra="forbid"), "__module__": own.__module__})
    tool.fn_metadata.arg_model = strict
    tool.parameters["additionalProperties"] = False
    return tool


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
