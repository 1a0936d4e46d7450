"""The API as msaas.web starts it, except that its probe takes the stub's songs and that a failpoint may be armed."""

from __future__ import annotations

import os
from pathlib import Path

from msaas.audio.decode.probe import Probe
from msaas.settings import Settings
from msaas.telemetry import logs
from msaas.telemetry.log_shipping import ship_logs
from msaas.web.server import listen
from msaas.wiring.api import build_app, serve
from msaas.wiring.stores import build_redis
from tests.chaos.lab.history import History
from tests.chaos.processes.failpoint_plan import ArmedFailpoints, parse_plan


def stub_probe(_path: Path) -> Probe:
    return Probe(container="stub", codec="stub", sample_rate=44100, channels=2, duration_seconds=2.0)


def main() -> None:
    settings = Settings.from_env(os.environ)
    logs.set_up(settings.log_level)
    ship_logs(build_redis(settings, timeout_seconds=3), "rest")
    app = build_app(settings, probe=stub_probe)
    if plan := parse_plan(os.environ.get("CHAOS_PLAN", "")):
        ArmedFailpoints(History(Path(os.environ["CHAOS_HISTORY"]))).arm(plan[0])
    serve(settings, app, listen(settings.host, settings.port))


if __name__ == "__main__":
    main()
