"""Commands for who runs the service: dead letters, callbacks, keys."""
