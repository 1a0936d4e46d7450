#!/usr/bin/env python3
"""Helm 4 as `helm install|upgrade|rollback|uninstall`, by the wheel helm-python-sdk, which contains Helm's Go code.

For cluster-test.sh --chart where there is no Helm 4: HELM='PYTHON deploy/tools/helm-sdk.py', with a Python that has the
wheel (0.2.2 has Helm 4.2.3). KUBECONFIG names the cluster.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from typing import Any

UNITS = {"s": 1, "m": 60, "h": 3600}


def main(argv: list[str] | None = None) -> int:
    helm: Any = importlib.import_module("helm_python")
    args = parsed(argv)
    wait = {"wait": "watcher" if args.wait else None, "timeout": args.timeout}
    values = helm.parse_set_string(",".join(args.set)) if args.set else {}
    with helm.Config(namespace=args.namespace) as config:
        match args.command:
            case "install":
                config.install(args.chart, args.release, values, namespace=args.namespace, **wait)
            case "upgrade":
                reuse = args.reuse_values
                config.upgrade(args.chart, args.release, values, namespace=args.namespace, reuse_values=reuse, **wait)
            case "rollback":
                config.rollback(args.release, version=args.revision, **wait)
            case "uninstall":
                config.uninstall(args.release, **wait)
                return 0
        for one in config.history(args.release):
            sys.stdout.write(f"Helm {helm.helm_sdk_version()}: revision {one['revision']} is {one['status']}\n")
    return 0


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="helm-sdk.py", description=__doc__.partition("\n")[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, more in (("install", "chart"), ("upgrade", "chart"), ("rollback", "revision"), ("uninstall", "")):
        command = commands.add_parser(name)
        command.add_argument("release")
        if more:
            command.add_argument(more, type=int if more == "revision" else str)
        command.add_argument("--namespace", required=True)
        command.add_argument("--wait", action="store_true")
        command.add_argument("--timeout", type=seconds, default=300)
        command.add_argument("--set", action="append", default=[])
        command.add_argument("--reuse-values", action="store_true")
    return parser.parse_args(argv)


def seconds(text: str) -> int:
    """`15m` or `90s`."""
    found = re.fullmatch(r"(\d+)([smh])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"not a duration such as 15m: {text!r}")
    return int(found[1]) * UNITS[found[2]]


if __name__ == "__main__":
    sys.exit(main())
