"""The soak: the stack, its clients, what is sampled of its processes, and the account."""
