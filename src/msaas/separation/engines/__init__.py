"""How a network is computed: its own forward, or a faster one that is checked against it."""
