"""Mixes of a song's stems, rendered by workers. A mix is a job of its own with one stem, `mix`.

`request` parses and names it, `song_mixes` knows the mixes of a song, `run` renders a claimed one, `renderer` is the
thread that takes one after another.
"""
