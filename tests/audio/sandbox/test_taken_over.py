"""A decoder that was taken over says what it likes: its caller loses a song by it, and nothing else."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from msaas.audio.limits import Limits
from msaas.audio.sandbox import client, launcher
from msaas.audio.sandbox.client import ask
from msaas.audio.sandbox.decoder import IsolatedDecoder
from msaas.audio.sandbox.probe import probe_isolated
from msaas.audio.sandbox.protocol import PROBE
from msaas.errors import AudioTooLong, Busy, ChildDied, NotAudio, SandboxError
from tests.support.audio.sounds import DATA
from tests.support.broken_sandbox import break_sandbox

SONG = DATA / "harbour-lights.mp3"
# In the place of all that the process does; `sock` leads to the caller.
INSTEAD = """
import msaas.audio.sandbox.child as child, os, signal, struct, time
from msaas.audio.sandbox import restrictions
from pathlib import Path
def is_open(fd):
    try:
        return bool(os.fstat(fd))
    except OSError:
        return False
def answer(sock, request):
    limits = restrictions.ResourceLimits(request.memory_bytes, request.cpu_seconds, request.seconds)
    restrictions.enter(Path(request.path), limits)
    def say(kind, payload):
        sock.sendall(struct.pack("=BI", kind, len(payload)) + payload)
{}
child.answer = answer
"""
# kinds of message: 1 answer, 2 refusal, 3 block, 4 died


@pytest.fixture(autouse=True)
def _fresh_helper():
    launcher.stop()
    yield
    launcher.stop()


@pytest.fixture
def taken_over(tmp_path, monkeypatch):
    def by(*lines):
        break_sandbox(tmp_path, monkeypatch, INSTEAD.format("".join(f"    {line}\n" for line in lines)))

    return by


def decode(**limits):
    return list(IsolatedDecoder(SONG, sample_rate=44_100, channels=2, limits=Limits(**limits)).blocks())


def children():
    pid = launcher.current().pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def none_left(seconds=20):
    deadline = time.monotonic() + seconds
    while children() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not children()


def test_sound_without_an_end_ends_at_the_limit(taken_over):
    taken_over("while True: say(3, bytes(1 << 19))")
    with pytest.raises(AudioTooLong):
        decode(max_duration_seconds=60)
    assert none_left()


@pytest.mark.parametrize(
    "said",
    [
        "sock.sendall(struct.pack('=BI', 3, 0xFFFFFFFF))",
        "sock.sendall(struct.pack('=BI', 77, 10) + bytes(10))",
        "say(3, bytes(12))",
        "say(3, struct.pack('=2f', float('nan'), 0.0))",
        "say(1, b'{')",
        "say(1, b'[1]')",
        "say(1, b'[' * 100_000)",
        "say(1, b'\\xff')",
        """say(1, b'{"unheard_of": 1}')""",
        "say(2, b'{}')",
        """say(2, b'{"code": ["not_audio"], "detail": "x"}')""",
        """say(2, b'{"code": "not_audio", "detail": 7}')""",
        """say(2, b'{"errno": "x", "detail": "x"}')""",
        """say(4, b'"x"')""",
        "say(4, b'9999')",
        "pass",
    ],
)
def test_nonsense_is_worth_another_run_and_costs_no_memory(taken_over, said):
    taken_over(said)
    with pytest.raises(ChildDied):
        decode()
    with pytest.raises(Busy):
        probe_isolated(SONG, Limits(), 60, 60)


@pytest.mark.parametrize(
    "change",
    [{"sample_rate": "x"}, {"channels": -1}, {"channels": 2.5}, {"duration_seconds": "1"}, {"container": None}],
)
def test_probe_that_says_what_no_file_is_counts_for_nothing(taken_over, change):
    said = {"container": "wav", "codec": "flac", "sample_rate": 1, "channels": 1, "duration_seconds": None}
    taken_over(f"say(1, {json.dumps(said | change).encode()!r})")
    with pytest.raises(Busy):
        probe_isolated(SONG, Limits(), 60, 60)


@pytest.mark.parametrize(("said", "charged"), [("1e300", 60), ("-5", 0), ("7", 7)])
def test_processor_time_is_charged_within_the_limit(taken_over, said, charged):
    taken_over(f"""say(2, b'{{"code": "not_audio", "detail": "x", "cpu_seconds": {said}}}')""")
    with pytest.raises(NotAudio) as caught:
        ask(SONG, Limits(), 60, 60)
    assert caught.value.cpu_seconds == charged


def test_what_it_says_stands_in_one_line(taken_over):
    taken_over(r"""say(2, b'{"code": "not_audio", "detail": "a\\nERROR forged \\u001b[2J%s"}' % (b"x" * 9000))""")
    with pytest.raises(NotAudio) as caught:
        decode()
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) <= 500


def test_traceback_that_it_makes_up_cannot_pass_for_lines_of_the_log(taken_over, caplog):
    taken_over(r"""say(2, b'{"code": "x", "detail": "x", "traceback": "a\\n2026 ERROR forged\\u001b[2J"}')""")
    with pytest.raises(SandboxError):
        decode()
    assert "\n  | 2026 ERROR forged?[2J" in caplog.text


def test_process_that_puts_off_its_alarm_is_killed_when_its_caller_has_gone(taken_over, monkeypatch):
    monkeypatch.setattr(client, "START_SECONDS", 1.0)
    taken_over(
        "restrictions.set_alarm(0)",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
        "while True: time.sleep(60)",
    )
    with pytest.raises(NotAudio, match="within 1 seconds"):
        ask(SONG, Limits(), 1.0, 60)
    assert none_left()


def test_process_that_writes_to_the_log_writes_nowhere(taken_over, capfd):
    taken_over(
        "os.write(2, b'forged')", "os.write(1, b'forged')", """say(2, b'{"code": "not_audio", "detail": "x"}')"""
    )
    with pytest.raises(NotAudio):
        decode()
    launcher.stop()
    assert "forged" not in "".join(capfd.readouterr())


def test_helper_inherits_what_it_is_started_by_and_no_more(monkeypatch):
    given = {"DATABASE_URL": "postgres://u:p@h/", "HF_TOKEN": "x", "http_proxy": "http://u:p@h", "AWS_SESSION": "x"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    assert np.concatenate(decode(), axis=1).shape == (2, 1_679_895)
    entries = Path(f"/proc/{launcher.current().pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in entries}
    assert not names & set(given)
    assert {"PATH", "LD_LIBRARY_PATH"} <= names


def test_descriptors_of_other_songs_are_closed(taken_over):
    taken_over(
        "held = [fd for fd in range(1 << 10) if fd not in (0, 1, 2, 3) and is_open(fd)]",
        """say(2, b'{"code": "not_audio", "detail": "%d"}' % len(held))""",
    )
    others = [launcher.current().connect(PROBE) for _ in range(4)]  # they wait for a request
    with pytest.raises(NotAudio) as caught:
        decode()
    for sock in others:
        sock.close()
    assert caught.value.detail == "0"
