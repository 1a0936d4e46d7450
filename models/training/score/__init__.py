"""Songs as notes: composed, not yet played."""
