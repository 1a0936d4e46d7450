"""Runs the whole service on one machine: real servers as child processes that never outlive the parent."""
