"""A song's way from a request body to a temporary file."""
