"""The sample songs: each a score (data), and the few modules that turn a score into sound."""
