"""`python -m msaas.web`: the API."""

from __future__ import annotations

import sys

from msaas.wiring.api import run_api
from msaas.wiring.process import run_process


def main() -> int:
    return run_process("rest", run_api)


if __name__ == "__main__":
    sys.exit(main())
