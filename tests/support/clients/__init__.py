"""Clients of the API as the tests need them."""
