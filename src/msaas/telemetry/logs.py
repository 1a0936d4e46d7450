"""Configures logging: one line per event, fields as key=value, to stderr. Logs nothing itself.

Keys and secrets are redacted from every line, including those of libraries.
"""

from __future__ import annotations

import logging
import re
import time

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(message)s"

# API keys and webhook secrets by their prefixes (msaas.auth.keys, msaas.settings.callback_secrets), and what follows
# `Bearer`. The names of our metrics, which begin as a key does, are shorter.
_SECRETS = re.compile(
    r"(?P<kind>msaas(?:_|%5f)|whsec_|bearer(?:\s|%20|\+)+)[\w%+/=.~-]{24,}",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text without secrets that have a known form."""
    return _SECRETS.sub(r"\g<kind>(hidden)", text)


class RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def set_up(level: str) -> None:
    """Configures the root logger, once at the start of a process."""
    formatter = RedactingFormatter(FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its callers report its retries
