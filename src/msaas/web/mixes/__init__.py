"""Mixes of a song's stems: POST /apiv1/jobs/<songhash>/mix."""
