"""Everything that reads records: each route of the API, each command, each pass of housekeeping, worker and sender."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from msaas import cli
from msaas.callbacks.sender import HttpPost, Sender
from msaas.errors import MSaaSError
from msaas.maintenance.housekeeping import Housekeeper
from msaas.mixing.song_mixes import SongMixes
from msaas.wiring.background import build_mixers
from msaas.wiring.worker import build_supervisor
from msaas.worker.process import SeparationProcess
from msaas.worker.run import Run
from msaas.worker.supervisor import Supervisor
from tests.records.world import World, song_of
from tests.support.receivers import HOME

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
LOOKS = ("GET", "HEAD")
STUCK_SECONDS = 30.0
# Commands that read no record: they start things, make keys, print settings.
APART = (
    "up",
    "demo",
    "rest",
    "worker",
    "settings",
    "openapi",
    "separate",
    "batch",
    "mix",
    "share",
    "keys",
    "models",
    "evaluate",
    "mcp",
    "callbacks secret",
    "buckets",
)

Fault = str


class Tracebacks(logging.Handler):
    """What was logged with one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1]:
            error = record.exc_info[1]
            trace = error.__traceback__
            while trace and trace.tb_next:
                trace = trace.tb_next
            where = f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else "?"
            self.found.append(f"logged {type(error).__name__} at {where}: {str(error)[:200]}")


class Surfaces:
    """`faults` of each are sentences; none where all is well."""

    def __init__(self, world: World, command: tuple[str, ...]) -> None:
        self.world, self._command = world, command
        self.client = world.app.test_client()
        self.document = _with_any_code(self.client.get("/apiv1/openapi.json").json)
        world.app.extensions["msaas"].stopping.set()  # event streams end after a look
        self.process = SeparationProcess(stall_seconds=60, command=command)
        assert self.process.ensure_ready(lambda: False)

    def close(self) -> None:
        self.process.kill()

    # --- HTTP

    def looks(self, songs: list[str]) -> Iterator[Fault]:
        for rule, method, path in self._calls(songs):
            if method in LOOKS:
                yield from self._call(rule, method, path)

    def changes(self, songs: list[str]) -> Iterator[Fault]:
        for rule, method, path in self._calls(songs):
            if method not in LOOKS and rule != "/apiv1/separate":
                yield from self._call(rule, method, path, b"{}" if rule.endswith("/mix") else None)
        for name, songhash in self.world.songs.items():
            if songhash in songs:
                yield from self._call("/apiv1/separate", "POST", "/apiv1/separate", song_of(name))

    def _calls(self, songs: list[str]) -> Iterator[tuple[str, str, str]]:
        """Rule, method and path. A variable that is new here is to be given values here."""
        upload = ["0" * 32]  # damaged ones: tests/uploads/test_hostile.py
        values = {
            "": [""],
            "upload_id": upload,
            "songhash": songs,
            "name": [f"{song}-vocals" for song in songs],
            "path": ["style.css"],
            "share,songhash": songs,
        }
        for rule in self.world.app.url_map.iter_rules():
            for method in sorted(set(METHODS) & (rule.methods or set())):
                for value in values[",".join(sorted(rule.arguments))]:
                    yield rule.rule, method, _filled(rule.rule, value)

    def _call(self, rule: str, method: str, path: str, body: bytes | None = None) -> Iterator[Fault]:
        kind = "application/json" if body == b"{}" else "audio/wav"
        more = {"data": body, "content_type": kind} if body else {}
        own = "songhash" in rule or rule == "/apiv1/jobs" or body is not None
        headers = self.world.headers("anna" if own else "boss")
        headers["Accept"] = "text/html, application/json;q=0.9, */*;q=0.8"  # as a browser: `/` is the page then
        answer = self.client.open(path, method=method, headers=headers, buffered=False, **more)
        try:
            with contextlib.closing(answer):
                text = b"".join(answer.iter_encoded())
        except Exception as error:
            yield f"{method} {path}: breaks off with {type(error).__name__}: {error}"
            return
        for fault in self._judged(rule, method, answer, text):
            yield f"{method} {path}: {fault}"

    def _judged(self, rule: str, method: str, answer: TestResponse, text: bytes) -> Iterator[Fault]:
        if answer.status_code >= 500 and answer.status_code != 503:
            yield f"{answer.status_code} {text[:200]!r}"
        if answer.status_code >= 400 and answer.content_type != "application/problem+json":
            yield f"{answer.status_code} as {answer.content_type}"
        if method == "HEAD" or not text:
            return
        if answer.is_json and (wrong := self._wrong_with(rule, method, answer.status_code, text)):
            yield wrong

    def _wrong_with(self, rule: str, method: str, status: int, text: bytes) -> str:
        """Of a JSON answer, by the OpenAPI document."""
        try:
            value = json.loads(text, parse_constant=_refuse)
        except ValueError as error:
            return f"no JSON: {error}"
        call = self.document["paths"].get(_as_documented(rule), {}).get(method.lower(), {})
        schema = call.get("responses", {}).get(str(status), {}).get("content", {}).get("application/json", {})
        if "schema" not in schema:
            return ""
        whole = {"components": self.document["components"], **schema["schema"]}
        errors = [error.message[:200] for error in Draft202012Validator(whole).iter_errors(value)]
        return f"not as documented: {errors[0]}" if errors else ""

    # --- commands

    def reads(self, songs: list[str]) -> Iterator[Fault]:
        for words in ("jobs", "jobs --mine", "dead list", "callbacks list"):
            yield from self._typed(words)
            yield from self._typed(f"{words} --json")
        for song in songs:
            for words in ("jobs", "dead show", "callbacks list --job"):
                yield from self._typed(f"{words} {song}")

    def writes(self, songs: list[str]) -> Iterator[Fault]:
        for song in songs:
            yield from self._typed(f"dead replay {song}")
            yield from self._typed(f"cancel {song}")
        for words in ("dead replay --all", "callbacks replay --all failed"):
            yield from self._typed(words)
        for id_ in self.world.callback_ids[:3]:
            yield from self._typed(f"callbacks replay {id_}")

    def _typed(self, words: str) -> Iterator[Fault]:
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = cli.main(words.split())
        except SystemExit as error:
            status = error.code  # type: ignore[assignment]
        except Exception as error:
            yield f"msaas {words}: {type(error).__name__}: {error}"
            return
        said = err.getvalue().splitlines()
        own = ("msaas: ", words.split()[-1])  # a command about several songs names each
        if status not in (0, 1, 2) or len(said) > 1 or (said and not said[0].startswith(own)):
            yield f"msaas {words}: {status} {said}"
        if any(not character.isprintable() for line in out.getvalue().split("\n") for character in line):
            yield f"msaas {words} prints what cannot be printed"

    # --- passes

    def passes(self, _songs: list[str]) -> Iterator[Fault]:
        queue, storage, mixes = self.world.queue, self.world.storage, self.world.mixes
        forget = SongMixes(mixes, storage).forget
        housekeeper = Housekeeper(queue, storage, mixes=mixes, forget=forget, retention_seconds=3600)
        for turn in (housekeeper.reap, housekeeper._repair_once, housekeeper._sweep_unlisted):
            yield from _guarded(turn)

    def sends(self, _songs: list[str]) -> Iterator[Fault]:
        sender = Sender(self.world.outbox, HttpPost(HOME, attempt_seconds=10))
        yield from _guarded(sender.turn)
        for thread in sender._in_flight().values():
            thread.join()

    def mixes(self, _songs: list[str]) -> Iterator[Fault]:
        """A renderer takes the mixes that wait. Their stems are no audio, so that they fail."""
        world = self.world
        [renderer] = build_mixers(world.settings, world.queue, world.mixes, world.storage)
        for _ in range(2):
            yield from _guarded(lambda: world.mixes.counts().waiting and renderer.turn())

    def works(self, _songs: list[str]) -> Iterator[Fault]:
        """A worker takes what waits, until nothing does."""
        worker = build_supervisor(self.world.settings, self.world.queue, self.world.storage, self.process)
        alarm = threading.Timer(STUCK_SECONDS, worker.stop)
        alarm.start()
        try:
            for _ in range(8):
                yield from _guarded(lambda: self._take(worker))
        finally:
            alarm.cancel()
        if worker.loop.stopping.is_set():
            yield "a worker did not come to an end"

    def _take(self, worker: Supervisor) -> None:
        claim = worker._claim()
        if claim is not None:
            self.process.ensure_ready(lambda: False)
            Run(worker._context, claim).execute()


def _guarded(turn: Callable[[], object]) -> Iterator[Fault]:
    """An outage is waited out; anything else is a fault."""
    try:
        turn()
    except MSaaSError:
        return
    except Exception as error:
        yield f"{getattr(turn, '__qualname__', turn)}: {type(error).__name__}: {error}"


def _with_any_code(document: Any) -> Any:
    """A record may hold codes of another version: they are shown where they read like codes."""
    for name in ("JobError", "JobWarning"):
        code = document["components"]["schemas"][name]["properties"]["code"]
        code["pattern"] = f"^[a-z][a-z0-9_]*$|^(?:{'|'.join(code.pop('enum'))})$"
    return document


def _filled(rule: str, value: str) -> str:
    return re.sub("<[^>]*>", value, rule)


def _as_documented(rule: str) -> str:
    return rule.replace("<", "{").replace(">", "}").replace("path:", "")


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def leaves(parser: argparse.ArgumentParser, above: str = "") -> Iterator[str]:
    """Every command there is."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in below:
        for name, one in action.choices.items():
            yield from leaves(one, f"{above} {name}".strip())
    if not below:
        yield above
