"""Sessions of the protocol's own client with `msaas mcp`, on the real API with its worker played."""

from tests.support.api_process import real_api, url, worker

__all__ = ["real_api", "url", "worker"]
