"""Threads for the parts of a song's way before and behind the network."""
