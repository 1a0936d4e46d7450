"""`msaas openapi`: the API's OpenAPI document, for generators of clients. Starts nothing."""

from __future__ import annotations

import argparse
import json
import os

from msaas.settings import Settings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("openapi", help="print the API's OpenAPI document, for generators of clients")
    parser.set_defaults(run=run)


def run(_args: argparse.Namespace) -> int:
    from msaas.web.openapi.document import document
    from msaas.wiring.api import build_app

    print(json.dumps(document(build_app(Settings.from_env(os.environ))), indent=2, ensure_ascii=False))
    return 0
