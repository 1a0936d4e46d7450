"""Decodes any audio file to samples at the model's rate and channels. Runs inside the sandbox."""
