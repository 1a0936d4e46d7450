"""Engines that compute a network: its own forward, or a faster one that is checked against it."""
