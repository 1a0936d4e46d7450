"""Sends one HTTP request to a server on this machine. Uses no proxy and follows no redirect."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any


def ask(host: str, port: int, path: str) -> tuple[int, Mapping[str, Any]]:
    """Status and JSON body; (0, {}) without an answer. Never uses a proxy, regardless of the environment."""
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
