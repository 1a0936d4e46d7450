"""Encodes stems to MP3, FLAC and WAV files of an exact length."""
