"""The fault suite: real workers, a real Valkey and a real S3 server are killed, stalled, cut off and filled up.

Each row of docs/reliability.md is one function here; `python -m tests.chaos` runs them and prints the table.
"""
