"""Where in a file its sound lies: what stands in front of it, behind it, and where one part of it ends."""
