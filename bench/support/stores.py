"""A Valkey and an S3 server for one measurement, in a temporary folder that goes with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msaas.local.servers import Keys, Valkey, Weed, running


@contextmanager
def stores() -> Iterator[tuple[Valkey, Weed, Path]]:
    """Both, and the folder; `folder / "scratch"` is there and empty."""
    with tempfile.TemporaryDirectory(prefix="msaas-bench-") as name:
        folder = Path(name)
        for part in ("valkey", "s3", "scratch"):
            (folder / part).mkdir()
        with (
            running(lambda: Valkey(folder / "valkey")) as valkey,
            running(lambda: Weed(folder / "s3", Keys.new())) as weed,
        ):
            yield valkey, weed, folder
