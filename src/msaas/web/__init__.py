"""The HTTP API: takes songs in, answers about jobs, hands stems out. Separates nothing and never reaches torch."""
