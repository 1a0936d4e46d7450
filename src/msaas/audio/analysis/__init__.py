"""What can be measured of a song while it is separated: loudness, tempo and key. Keeps numbers, not samples."""
