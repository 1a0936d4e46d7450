"""How MSaaS logs: one line an event, fields as key=value, to stderr. Sets up; never logs anything itself."""

from __future__ import annotations

import logging
import time

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"


def set_up(level: str) -> None:
    """Configures the root logger once, at the start of a process."""
    formatter = logging.Formatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are reported by their callers
