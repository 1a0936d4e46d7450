"""The HTTP API: takes songs in, answers about jobs, hands stems out. Separates nothing and never reaches torch."""

from msaas.web.app import create_app

__all__ = ["create_app"]
