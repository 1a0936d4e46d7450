"""A SeaweedFS S3 server for the container smoke test: prints its address, runs until SIGTERM."""

import signal
import sys
from pathlib import Path

from msaas.local.servers import Keys, Weed, running


def main(folder: str, access: str, secret: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with running(lambda: Weed(Path(folder), Keys(access, secret))) as server:
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
