"""From a request body to a song in a temporary file."""
