"""Mixes stems into one file, as the page's player does."""
