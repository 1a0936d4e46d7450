"""What can be measured of a song while it is separated: loudness, tempo and key. Memory does not grow with the song."""
