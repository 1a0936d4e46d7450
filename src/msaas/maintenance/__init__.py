"""Background work in every process: requeueing lost jobs, sweeping old objects."""
