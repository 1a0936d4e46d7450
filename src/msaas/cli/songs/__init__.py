"""Inputs and outputs of `msaas separate`: songs from files, folders and pipes; stems in folders."""
