"""The composition root: objects are built from Settings here, and nowhere else. Each module imports what it builds."""
