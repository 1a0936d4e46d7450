"""Several songs at a time in one worker: who may use the separation process, and how its messages find their run."""
