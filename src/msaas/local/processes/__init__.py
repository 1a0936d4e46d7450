"""Child processes of the local stack: starts and supervises them; they end with their parent."""
