"""How well a model separates songs whose stems are known. Knows no jobs and no service."""
