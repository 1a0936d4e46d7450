"""The API under gunicorn: one process, many threads, housekeeping beside them. `python -m msaas.web` starts it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import wsgi

from msaas import logs
from msaas.audio import helper, selfcheck
from msaas.callbacks.sender import Sender
from msaas.errors import SandboxError, SettingsError
from msaas.housekeeping import Housekeeper
from msaas.log_shipping import ship_logs
from msaas.scratch import check_writable
from msaas.settings import Settings
from msaas.web.app import create_app
from msaas.web.metrics import meters_of
from msaas.web.services import EXTENSION, Services
from msaas.web.spool import sweep

log = logging.getLogger(__name__)

# The local stack ends within 30 s; requests in flight get most of it.
GRACEFUL_SECONDS = 20
BACKLOG = 512


def main() -> int:
    """Serves until SIGTERM or SIGINT. Settings are read from the environment here and nowhere below."""
    try:
        settings = Settings.from_env(os.environ)
        check_writable(settings.scratch_dir)
        listener = listen(settings)
    except SettingsError as error:
        sys.stderr.write(f"msaas.web: {error}\n")
        return 2
    logs.set_up(settings.log_level)
    try:
        selfcheck.check_probe(settings.scratch_dir)
    except SandboxError as error:
        sys.stderr.write(f"msaas.web: {error}\n")
        return 2
    finally:
        helper.stop()  # gunicorn's worker process starts its own
    Server(settings, listener).run()
    return 0


def listen(settings: Settings) -> socket.socket:
    """The bound socket. Raises SettingsError where the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {_reason(error)};"
            " set MSAAS_PORT (and MSAAS_HOST) to one that is free"
        ) from error


def _reason(error: OSError) -> str:
    """socket.create_server adds the address, in a tuple."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, told in code. The app is made in the worker process, after the fork: so are its connections."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self.settings, self.listener = settings, listener
        self.housekeeper: Housekeeper | None = None
        super().__init__()

    def load_config(self) -> None:
        wsgi.SERVER = "msaas"  # the Server header: which software this is, and how old, is nobody's business
        wanted = {
            "bind": f"fd://{self.listener.detach()}",  # gunicorn closes it
            "worker_class": "gthread",
            "workers": 1,
            "threads": self.settings.threads,
            "graceful_timeout": GRACEFUL_SECONDS,
            "logger_class": RootLogger,
            "control_socket_disable": True,
            "post_worker_init": self.begin,
            "worker_exit": self.end,
        }
        for name, value in wanted.items():
            if name in self.cfg.settings:  # the control socket is known to newer gunicorns only
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self.settings)

    def begin(self, worker: Any) -> None:
        parts = services_of(worker.wsgi)
        ship_logs(self.settings, "rest")
        if strays := sweep(self.settings.scratch_dir):
            log.info("swept uploads of a killed server files=%d", strays)
        told = meters_of(worker.wsgi).called_back
        callbacks = Sender.from_settings(self.settings, parts.queue.redis, told=told)
        retention_seconds = self.settings.retention_hours * 3600
        self.housekeeper = Housekeeper(
            parts.queue, parts.storage, callbacks=callbacks, retention_seconds=retention_seconds
        )
        self.housekeeper.start()
        end_streams_on_sigterm(parts)

    def end(self, _arbiter: Any, _worker: Any) -> None:
        if self.housekeeper is not None:
            self.housekeeper.stop()


def services_of(app: Flask) -> Services:
    found = app.extensions[EXTENSION]
    assert isinstance(found, Services)  # noqa: S101 - tells mypy
    return found


def end_streams_on_sigterm(parts: Services) -> None:
    """Event streams end by themselves only with their job: without this each stop would take the whole grace."""
    gunicorns = signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        parts.stopping.set()
        if callable(gunicorns):
            gunicorns(number, frame)

    signal.signal(signal.SIGTERM, stop)


class RootLogger(Logger):  # type: ignore[misc]
    """gunicorn's lines through our own handler, in our own format."""

    def setup(self, cfg: Any) -> None:
        self.error_log.propagate = True
        self.error_log.setLevel(logging.WARNING)
        self.access_log.disabled = True
        self.cfg = cfg

    def reopen_files(self) -> None:
        """It has none."""
