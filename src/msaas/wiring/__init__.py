"""The composition root: the only place that builds objects from Settings. Each module imports what it builds."""
