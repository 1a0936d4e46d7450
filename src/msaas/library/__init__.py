"""The songs that a tenant has posted, newest first. A list of names: the jobs' records have the rest."""

from msaas.library.songs import Filter, Page, SongList

__all__ = ["Filter", "Page", "SongList"]
