"""Finds the sound in a file: what precedes it, what follows it, and where each part ends."""
