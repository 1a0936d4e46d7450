"""Music Separation as a Service: a song in over HTTP, aligned stems out of object storage."""

__version__ = "0.1.0"
