"""The drill of cluster-drill.py."""
