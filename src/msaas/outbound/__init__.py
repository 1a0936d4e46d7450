"""The guard of every connection that a caller's URL makes this service open: callbacks, and songs fetched by address.

`targets` parses the URL, `resolve` asks DNS once, `addresses` refuses what is not public, and `connection` connects to
the address that was checked.
"""
