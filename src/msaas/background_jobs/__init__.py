"""Jobs that a thread of a process runs under a lease, beside its main work: fetches and mixes."""
