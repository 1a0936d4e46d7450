"""Singing voices, made of speech and of models of the vocal tract."""
