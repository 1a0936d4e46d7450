"""What `msaas separate` is given and what it leaves: songs from files, folders and pipes; stems in folders."""
