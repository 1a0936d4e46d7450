"""Child processes of the local stack: started, watched, and ended with whoever started them."""
