"""The API on the real queue and storage: in this process for most tests, as it runs where the wire matters."""

from tests.support.api import client, done, live, live_environ, make_app, player, scratch, song

__all__ = ["client", "done", "live", "live_environ", "make_app", "player", "scratch", "song"]
