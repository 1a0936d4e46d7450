"""How the API and a worker start: settings, the scratch folder, logs. Their own work follows."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from msaas.errors import SandboxError, SettingsError
from msaas.scratch import check_writable
from msaas.settings import Settings
from msaas.telemetry import logs
from msaas.telemetry.log_shipping import ship_logs
from msaas.wiring.allocator import limit_arenas
from msaas.wiring.stores import build_redis

WRONG_STATUS = 2  # the process cannot run here: another start would end the same way
LOG_TIMEOUT_SECONDS = 3


def run_process(role: str, work: Callable[[Settings], int]) -> int:
    """Returns the exit status of `work`, or WRONG_STATUS with a line on stderr if a setting or the sandbox is wrong.

    `role`: the name of the process in shipped log lines.
    """
    limit_arenas(os.environ)
    try:
        settings = Settings.from_env(os.environ)
        check_writable(settings.scratch_dir)
        logs.set_up(settings.log_level)
        ship_logs(build_redis(settings, timeout_seconds=LOG_TIMEOUT_SECONDS), role)
        return work(settings)
    except (SettingsError, SandboxError) as error:
        sys.stderr.write(f"msaas {role}: {error}\n")
        return WRONG_STATUS


def on_stop_signals(stop: Callable[[], object]) -> None:
    """Calls `stop` at each SIGTERM and SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop())
