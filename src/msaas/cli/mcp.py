"""`msaas mcp`: a Model Context Protocol server, through which agents use a service."""

from __future__ import annotations

import argparse
from pathlib import Path

from msaas.cli.paths import existing_folder, path_argument
from msaas.cli.service import add_service, client_of
from msaas.errors import MSaaSError

RETRIES = 3


class ExtraMissing(MSaaSError):
    """A package of an extra is not installed."""

    code = "bad_settings"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "mcp",
        help="serve agents by the Model Context Protocol",
        description="Agents separate songs, follow jobs, save stems, list models and cancel, by tools of the Model "
        "Context Protocol: over standard input and output, or with --http over streamable HTTP. Needs the extra [mcp].",
    )
    parser.add_argument(
        "--folder",
        type=path_argument,
        default=Path(),
        help="the only folder whose files are read and written (the current one)",
    )
    parser.add_argument("--http", metavar="HOST:PORT", help="serve http://HOST:PORT/mcp, on this machine only")
    add_service(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    try:
        from msaas.mcp_server.server import build_server, serve_http, serve_stdio
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"`msaas mcp` needs the extra [mcp]: pip install 'msaas[mcp]' ({error.name} is missing)"
        ) from error
    folder = existing_folder(args.folder, "songs that agents may read; stems are written to it")
    client_of(args).close()  # a wrong URL or key is reported at the start
    server = build_server(lambda: client_of(args, retries=RETRIES), folder)
    if args.http:
        serve_http(server, args.http)
    else:
        serve_stdio(server)
    return 0
