"""What runs beside the calls and the jobs, in every process: requeueing lost jobs, sweeping old objects."""
