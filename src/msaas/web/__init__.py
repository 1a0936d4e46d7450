"""The HTTP API: accepts songs, reports on jobs, serves stems. Never imports torch."""
