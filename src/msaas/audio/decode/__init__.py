"""Any audio file to samples as the model wants them. Runs inside the sandbox."""
