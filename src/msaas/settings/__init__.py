"""Settings, and the types of their values. Imports only the errors; only msaas.wiring, the
mains, cli/ and local/ read `Settings` itself."""

from msaas.settings.credentials import without_credentials
from msaas.settings.parsers import expanded
from msaas.settings.settings import Settings, describe

__all__ = ["Settings", "describe", "expanded", "without_credentials"]
