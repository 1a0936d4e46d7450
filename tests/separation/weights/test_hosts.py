"""Which hosts of weights answer: each is asked once, and none is waited for."""

from __future__ import annotations

import http.client
import time
import urllib.error
from threading import Event

import pytest
from huggingface_hub import constants

from msaas.catalogue import catalogue
from msaas.separation.weights import hosts
from msaas.separation.weights.hosts import hosts_needed, silent_hosts

SCNET, DEMUCS = (catalogue().entries[name] for name in ("scnet_large", "htdemucs"))


def refusing(status):
    def ask(address, _seconds):
        raise urllib.error.HTTPError(address, status, "", http.client.HTTPMessage(), None)

    return ask


def unreachable(_address, _seconds):
    raise urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))


def test_a_host_that_is_away_is_silent_with_the_reason():
    assert silent_hosts([SCNET], unreachable) == {
        "github.com": "Connection refused",
        "huggingface.co": "Connection refused",
    }


@pytest.mark.parametrize(("status", "silent"), [(404, set()), (401, set()), (503, {"github.com", "huggingface.co"})])
def test_a_host_that_lacks_the_one_file_answers_but_one_with_a_fault_does_not(status, silent):
    assert silent_hosts([SCNET], refusing(status)).keys() == silent


def test_hosts_that_never_answer_cost_one_timeout_together(monkeypatch):
    monkeypatch.setattr(hosts, "PROBE_SECONDS", 0.3)
    forever = Event()
    began = time.monotonic()
    silent = silent_hosts(catalogue().entries.values(), lambda _address, _seconds: forever.wait(60))
    seconds = time.monotonic() - began
    forever.set()
    assert len(silent) >= 4
    assert set(silent.values()) == {"no answer within 0.3 s"}
    assert seconds < 30


def test_each_host_is_asked_once():
    asked = []
    assert not silent_hosts(catalogue().entries.values(), lambda address, _seconds: asked.append(address))
    assert len({address.split("/")[2] for address in asked}) == len(asked)


def test_a_model_needs_one_host_of_each_file():
    assert hosts_needed(SCNET, {"huggingface.co": "away"}) == ()
    assert hosts_needed(SCNET, {"github.com": "away"}) == ("github.com",), "its configuration is there alone"
    assert hosts_needed(DEMUCS, {"huggingface.co": "", "dl.fbaipublicfiles.com": ""}) != ()


def test_demucs_models_come_from_the_hub_of_the_setting(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.example")
    silent = silent_hosts([SCNET, DEMUCS], unreachable)
    assert {"hub.example", "huggingface.co"} <= silent.keys()
    assert hosts_needed(DEMUCS, silent) == ("hub.example", "dl.fbaipublicfiles.com")
