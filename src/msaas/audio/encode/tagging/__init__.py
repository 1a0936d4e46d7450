"""Tags of stems as bytes, where FFmpeg's muxers write none or no cover."""
