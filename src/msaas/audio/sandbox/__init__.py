"""Processes without network, files or credentials that read what strangers upload."""
