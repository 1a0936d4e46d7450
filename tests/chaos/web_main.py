"""The API as msaas.web starts it, except that its probe takes the stub's songs and that a failpoint may be armed."""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask

from msaas.audio.decode.probe import Probe
from msaas.settings import Settings
from msaas.telemetry import logs
from msaas.web.app import create_app
from msaas.web.server import Server, listen

from .arms import Arms, parse_plan
from .history import History


def stub_probe(_path: Path) -> Probe:
    return Probe(container="stub", codec="stub", sample_rate=44100, channels=2, duration_seconds=2.0)


class StubServer(Server):
    def load(self) -> Flask:
        app = create_app(self.settings, probe=stub_probe)
        plan = parse_plan(os.environ.get("CHAOS_PLAN", ""))
        if plan:
            Arms(History(Path(os.environ["CHAOS_HISTORY"]))).arm(plan[0])
        return app


def main() -> None:
    settings = Settings.from_env(os.environ)
    logs.set_up(settings.log_level)
    StubServer(settings, listen(settings)).run()


if __name__ == "__main__":
    main()
