"""Which hosts of weights answer. Each is asked once, for one file, all at the same time; nothing is downloaded."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

from huggingface_hub import constants

from msaas.catalogue import Entry
from msaas.separation.weights.download import BROKEN, touch
from msaas.separation.weights.sources import PROBE_SECONDS, within

PUBLIC_HUB = "https://huggingface.co"  # in the catalogue's addresses; Demucs' own models come from HF_ENDPOINT

Ask = Callable[[str, float], object]


def silent_hosts(entries: Iterable[Entry], ask: Ask = touch) -> dict[str, str]:
    """The hosts of the models' files that do not answer, each with the reason; takes PROBE_SECONDS at most.

    `ask(address, seconds)` raises one of BROKEN. A host that refuses the one file answers: it may have the others.
    """
    addresses: dict[str, str] = {}
    for entry in entries:
        for address in (address for mirrors in _mirrors(entry) for address in mirrors):
            addresses.setdefault(_host(address), address)
    if not addresses:
        return {}
    with ThreadPoolExecutor(len(addresses)) as pool:
        reasons = list(pool.map(partial(_reason, ask), addresses.values()))
    return {host: reason for host, reason in zip(addresses, reasons, strict=True) if reason}


def hosts_needed(entry: Entry, silent: Mapping[str, str]) -> tuple[str, ...]:
    """The silent hosts without which a file of the model cannot be fetched; none if all files can."""
    hosts = [tuple(dict.fromkeys(map(_host, mirrors))) for mirrors in _mirrors(entry)]
    return next((needed for needed in hosts if needed and all(host in silent for host in needed)), ())


def _mirrors(entry: Entry) -> list[list[str]]:
    """The addresses of each file, as the sources of weights take them."""
    if entry.config:
        return [list(file.urls) for file in entry.files]
    return [[address.replace(PUBLIC_HUB, constants.ENDPOINT, 1) for address in file.urls] for file in entry.files]


def _host(address: str) -> str:
    return urlsplit(address).netloc


def _reason(ask: Ask, address: str) -> str:
    """Empty if the host answers."""
    try:
        within(PROBE_SECONDS, lambda: ask(address, PROBE_SECONDS))
    except urllib.error.HTTPError as error:
        return "" if error.code < 500 else f"it answered {error.code}"
    except BROKEN as error:
        reason = getattr(error, "reason", error)
        return str(getattr(reason, "strerror", None) or reason)
    return ""
