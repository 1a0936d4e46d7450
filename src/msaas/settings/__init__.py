"""Settings, and the types of their values. Imports only the errors; `Settings` itself is read by msaas.wiring, the
mains, cli/ and local/ alone."""

from msaas.settings.credentials import without_credentials
from msaas.settings.parsers import expanded
from msaas.settings.settings import Settings, describe

__all__ = ["Settings", "describe", "expanded", "without_credentials"]
