"""HTTP details independent of jobs: problem details, ranges, archives, concurrency limits."""
