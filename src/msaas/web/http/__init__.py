"""HTTP details that know no jobs: problem details, ranges, archives, limits on concurrency."""
