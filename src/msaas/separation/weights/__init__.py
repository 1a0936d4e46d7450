"""Finds, downloads and checks a model's weights."""
