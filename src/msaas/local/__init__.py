"""The whole service on one machine: real servers as children of one process. Refuses to leave any of them behind."""
