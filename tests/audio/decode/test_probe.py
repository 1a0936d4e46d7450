"""Probing: what a file is, in bounded time and memory, in a process that leaves nothing behind."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from msaas.audio.decode.probe import Probe, probe
from msaas.audio.encode.wav import wav_header
from msaas.audio.limits import Limits
from msaas.audio.sandbox import launcher
from msaas.audio.sandbox.probe import probe_isolated
from msaas.errors import AudioTooLong, NotAudio
from tests.support.audio.hostile_files import m4a_of_edits
from tests.support.environment import BUSY_SECONDS, REPOSITORY


@pytest.fixture(autouse=True, scope="module")
def _no_helper_left():
    yield
    launcher.stop()


@pytest.fixture
def song(tmp_path, music, write_song):
    return write_song(tmp_path / "song.mp3", music(100_000), codec="libmp3lame", container="mp3")


@pytest.fixture
def endless(tmp_path):
    """A pipe nobody writes to: whoever opens it waits."""
    os.mkfifo(tmp_path / "endless")
    return tmp_path / "endless"


def children(pid):
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    return tasks.read_text().split() if tasks.exists() else []


def emptied(pid):
    deadline = time.monotonic() + 5
    while children(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not children(pid)


def writing_to(pipe):
    """A descriptor, once somebody reads the pipe: a process that dies before has not died of its file."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline, "nobody reads the pipe"
            time.sleep(0.01)


@pytest.mark.parametrize("ask", [probe, probe_isolated])
@pytest.mark.parametrize(
    ("codec", "container", "name"),
    [("libmp3lame", "mp3", "mp3"), ("flac", "flac", "flac"), ("aac", "ipod", "aac"), ("pcm_s24le", "wav", "pcm_s24le")],
)
def test_song_is_told_as_what_it_is(tmp_path, music, write_song, ask, codec, container, name):
    path = write_song(tmp_path / "song.mp3", music(96_000, 1, 48_000), codec=codec, container=container, rate=48_000)
    found = ask(path, Limits())
    assert (found.codec, found.sample_rate, found.channels) == (name, 48_000, 1)
    assert found.duration_seconds == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("ask", [probe, probe_isolated])
def test_header_that_says_too_long_is_refused(tmp_path, music, write_song, ask):
    path = write_song(tmp_path / "a", music(44_100 * 3), codec="flac", container="flac")
    with pytest.raises(AudioTooLong, match="3 seconds; the limit is 2"):
        ask(path, Limits(max_duration_seconds=2))


def test_wav_header_that_promises_more_than_the_file_holds_is_no_ground_to_refuse(tmp_path, music):
    header = wav_header(44_100, 2, 20 * 3600 * 1_000)
    (tmp_path / "a").write_bytes(header + music(20_000).T.tobytes())
    assert probe(tmp_path / "a", Limits(max_duration_seconds=60)).sample_rate == 44_100


def test_duration_that_was_guessed_from_a_bit_rate_is_no_ground_to_refuse(tmp_path, music, write_song):
    path = write_song(tmp_path / "a", music(44_100 * 3), codec="aac", container="adts")
    assert probe(path, Limits(max_duration_seconds=1)).codec == "aac"


@pytest.mark.parametrize("ask", [probe, probe_isolated])
@pytest.mark.parametrize("content", [b"", b"hello\n" * 100, bytes(10_000)])
def test_what_is_no_song_is_not_audio(tmp_path, ask, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(NotAudio):
        ask(tmp_path / "a", Limits())


@pytest.mark.parametrize("ask", [probe, probe_isolated])
def test_missing_file_is_not_the_songs_fault(tmp_path, ask):
    with pytest.raises(FileNotFoundError):
        ask(tmp_path / "none", Limits())


def test_garbage_ahead_is_looked_past(tmp_path, song):
    path = tmp_path / "b"
    path.write_bytes(bytes(2_000) + song.read_bytes())
    assert probe_isolated(path, Limits()).codec == "mp3"


def test_probe_that_hangs_is_stopped_in_time_and_leaves_no_process(song, endless):
    probe_isolated(song, Limits())
    server = launcher.current().pid
    started = time.monotonic()
    with pytest.raises(NotAudio, match=r"within 0\.5 seconds"):
        probe_isolated(endless, Limits(), timeout_seconds=0.5)
    assert time.monotonic() - started < BUSY_SECONDS
    assert emptied(server)
    assert probe_isolated(song, Limits()).codec == "mp3"


def test_probe_that_dies_is_not_audio_and_the_next_one_works(song, endless):
    probe_isolated(song, Limits())
    server = launcher.current().pid
    assert emptied(server)  # the first probe's child has answered, and may still be on its way out
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(probe_isolated, endless, Limits())
        writer = writing_to(endless)
        os.kill(int(children(server)[0]), signal.SIGSEGV)
        with pytest.raises(NotAudio, match="crashed the decoder"):
            answer.result(5)
        os.close(writer)
    assert probe_isolated(song, Limits()).codec == "mp3"


def test_probe_that_computes_too_long_is_stopped_and_says_what_it_took(tmp_path):
    (tmp_path / "a").write_bytes(m4a_of_edits(2_000_000))
    with pytest.raises(NotAudio, match="more than 1 seconds of processor time") as refused:
        probe_isolated(tmp_path / "a", Limits(), timeout_seconds=120, cpu_seconds=1)
    assert refused.value.cpu_seconds == 1


def test_probe_tells_what_it_took_whether_it_found_a_song_or_none(tmp_path, song):
    assert 0 < probe_isolated(song, Limits()).cpu_seconds < 10
    (tmp_path / "a").write_bytes(b"hello" * 1000)
    with pytest.raises(NotAudio) as refused:
        probe_isolated(tmp_path / "a", Limits())
    assert 0 < refused.value.cpu_seconds < 10


def test_header_that_asks_for_much_memory_gets_none(tmp_path, monkeypatch):
    """A QuickTime sample table of a billion entries, in a file of a few bytes."""

    def box(kind, *body):
        data = b"".join(body)
        return struct.pack(">I4s", 8 + len(data), kind) + data

    table = box(b"stbl", box(b"stsz", struct.pack(">IIIB", 0, 0, 1_000_000_000, 0)))
    handler = box(b"hdlr", struct.pack(">II4s12sB", 0, 0, b"soun", b"", 0))
    track = box(b"trak", box(b"mdia", handler, box(b"minf", table)))
    (tmp_path / "a").write_bytes(box(b"ftyp", b"M4A \0\0\0\0M4A ") + box(b"moov", track) + bytes(500))
    with pytest.raises(NotAudio):
        probe_isolated(tmp_path / "a", Limits())


def test_child_may_not_take_much_memory_write_files_or_run_long():
    code = """
import signal, tempfile
from msaas.audio.sandbox.restrictions import ResourceLimits, limit
scratch = tempfile.TemporaryFile()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit(ResourceLimits(512 << 20, 60.0, 1.0))  # processor time is left when the alarm rings
for take in (lambda: bytearray(1 << 30), lambda: scratch.write(bytes(1 << 20))):
    try:
        take()
    except (MemoryError, OSError) as error:
        print(type(error).__name__, flush=True)
while True:
    pass
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["MemoryError", "OSError"]
    assert done.returncode == -signal.SIGALRM


def test_helper_that_was_killed_is_started_again(song):
    probe_isolated(song, Limits())
    server = launcher.current().pid
    os.kill(server, signal.SIGKILL)
    time.sleep(0.1)
    assert probe_isolated(song, Limits()).codec == "mp3"
    assert launcher.current().pid != server


def test_many_threads_probe_at_once(song, tmp_path):
    (tmp_path / "none").write_bytes(b"no song")
    probe_isolated(song, Limits())
    with ThreadPoolExecutor(8) as pool:
        right = [pool.submit(probe_isolated, song, Limits()) for _ in range(24)]
        wrong = [pool.submit(probe_isolated, tmp_path / "none", Limits()) for _ in range(8)]
        assert {answer.result().codec for answer in right} == {"mp3"}
        assert all(isinstance(answer.exception(), NotAudio) for answer in wrong)
    assert emptied(launcher.current().pid)


def test_probe_costs_milliseconds_once_the_helper_is_up(song):
    probe_isolated(song, Limits())
    started = time.monotonic()
    for _ in range(5):
        probe_isolated(song, Limits())
    assert (time.monotonic() - started) / 5 < 0.5  # measured: 0.02 s


SERVER = """
import os, sys
print("imported", flush=True)
sys.path.insert(0, {source!r})
from pathlib import Path
from msaas.audio.sandbox import launcher
from msaas.audio.limits import Limits
from msaas.audio.sandbox.probe import probe_isolated
print(probe_isolated(Path({song!r}), Limits()).codec, launcher.current().pid, flush=True)
if os.fork() == 0:
    print(probe_isolated(Path({song!r}), Limits()).codec, launcher.current().pid, flush=True)
    sys.exit()
os.wait()
{end}
"""


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"], ids=["returns", "is killed"])
def test_server_script_is_not_run_again_and_leaves_no_helper_when_it(tmp_path, song, end):
    """A script without a main guard, which forks as some servers do."""
    script = tmp_path / "server.py"
    script.write_text(SERVER.format(source=str(REPOSITORY / "src"), song=str(song), end=end))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0] == "imported"
    assert [line.split()[0] for line in lines[1:]] == ["mp3", "mp3"]
    pids = [int(line.split()[1]) for line in lines[1:]]
    assert pids[0] != pids[1]
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_helper_loads_neither_numpy_nor_torch():
    code = "import sys; import msaas.audio.decode.probe; print(sorted({'numpy', 'torch', 'flask'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_probe_is_plain_data(song):
    assert isinstance(probe(song, Limits()), Probe)
