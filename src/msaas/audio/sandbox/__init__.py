"""Sandboxed processes, without network, file access or credentials, that read uploaded files."""
