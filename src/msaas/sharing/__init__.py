"""Links by which a person without a key reads one song."""
