"""One HTTP question to a server on this machine. Asks no proxy, follows no redirect."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any


def ask(host: str, port: int, path: str) -> tuple[int, Mapping[str, Any]]:
    """Status and JSON body; (0, {}) where nothing answers. No proxy is asked, whatever the environment says."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = json.loads(response.read(100_000))
    except ValueError:
        return response.status, {}
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()
    return response.status, body if isinstance(body, dict) else {}
