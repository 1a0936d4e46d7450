"""The parts of bench/soak.py: the stack, its clients, what is sampled of its processes, and the account."""
