"""`python -m msaas.worker`: a worker."""

from __future__ import annotations

import sys

from msaas.wiring.process import run_process
from msaas.wiring.worker import run_worker


def main() -> int:
    return run_process("worker", run_worker)


if __name__ == "__main__":
    sys.exit(main())
