"""The `msaas` command's subcommands, one module each: `add` tells argparse, `run` does it and returns the exit status.

Importing them loads neither torch nor Flask.
"""
