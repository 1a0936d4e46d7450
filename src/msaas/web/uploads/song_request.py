"""What a post asks for beside its song: options, callback, the file's name, priority. Parses; stores nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msaas.callbacks.outbox import CallbackRequest
from msaas.errors import InvalidOption
from msaas.jobs import LOW, PRIORITIES
from msaas.options import REQUEST_NAMES, Options
from msaas.queue import NO_CALLBACK
from msaas.song_names import file_name
from msaas.web.models import offered_models
from msaas.web.services import Services
from msaas.web.uploads.bodies import BESIDE_OPTIONS, FILENAME, PRIORITY
from msaas.web.uploads.callback import parse_callback
from msaas.web.uploads.json_body import ADDRESS, UPLOAD


@dataclass(frozen=True)
class SongRequest:
    """`filename`: of the song's file, for people; empty without one."""

    options: Options
    callback: CallbackRequest | None
    filename: str
    priority: str

    @property
    def callback_args(self) -> Sequence[str]:
        """Of Queue.submit."""
        return self.callback.args if self.callback else NO_CALLBACK

    @property
    def marks(self) -> tuple[str, str]:
        """What determines the request's effect, beside its song."""
        return self.options.to_json(), self.callback.digest if self.callback else ""

    def fields(self, tenant: str) -> dict[str, str]:
        """Of a new job's record."""
        fields = {"model": self.options.model, "options": self.options.to_json(), "tenant": tenant}
        return fields | ({PRIORITY: LOW} if self.priority == LOW else {})


def parse_request(given: Mapping[str, Any], services: Services) -> SongRequest:
    """`given`: the members beside the song. Raises InvalidOption for an unknown one."""
    names = {name: value for name, value in given.items() if name not in BESIDE_OPTIONS}
    for name in names:
        if name not in REQUEST_NAMES:
            known = ", ".join((*REQUEST_NAMES, *BESIDE_OPTIONS, ADDRESS, UPLOAD))
            raise InvalidOption(f"unknown option {str(name)[:40]!r}; the options are {known}")
    try:
        options = Options.parse(
            names,
            default_model=services.options.model,
            allowed=offered_models(services),
            qualities=services.options.qualities,
        )
    except RecursionError as error:  # while quoting the value
        raise InvalidOption("an option is nested too deeply") from error
    callback = parse_callback(given.get("callback"), services.options.callback_targets)
    return SongRequest(options, callback, _filename(given.get(FILENAME)), parse_priority(given.get(PRIORITY)))


def _filename(given: Any) -> str:
    """Any text is valid. Raises InvalidOption."""
    if not isinstance(given or "", str):
        raise InvalidOption(f"filename {str(given)[:40]!r} is not a text")
    return file_name(given or "")


def parse_priority(given: Any) -> str:
    """Raises InvalidOption."""
    if given in (None, ""):
        return PRIORITIES[0]
    if given not in PRIORITIES:
        raise InvalidOption(f"priority {str(given)[:20]!r} is unknown; choose one of {', '.join(PRIORITIES)}")
    return str(given)
