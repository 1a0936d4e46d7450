"""sample-requests.py as a process, the worker that answers it, and a connection that breaks off."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.api import STEMS, song_bytes
from tests.support.api_process import playing_worker
from tests.support.environment import REPOSITORY

SCRIPT = REPOSITORY / "sample-requests.py"


@pytest.fixture
def worker(queue, storage, tmp_path) -> Iterator[None]:
    """Stays at half of the progress long enough to be seen there."""
    with playing_worker(queue, storage, tmp_path, half_way_seconds=0.7):
        yield


@contextmanager
def dropping(url: str, drops: int, after_bytes: int) -> Iterator[str]:
    """A forwarded port whose first connections break off, each after so many bytes of the answer."""
    target = ("127.0.0.1", int(url.rpartition(":")[2]))
    left = [drops]

    def forward(near: socket.socket) -> None:
        limit = after_bytes if left[0] > 0 else None
        left[0] -= 1
        with near, socket.create_connection(target) as far:
            threading.Thread(target=pump, args=(near, far, None), daemon=True).start()
            pump(far, near, limit)
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        try:
            while True:
                near, _ = server.accept()
                threading.Thread(target=forward, args=(near,), daemon=True).start()
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    try:
        while limit is None or limit > 0:
            data = source.recv(65536 if limit is None else min(65536, limit))
            if not data:
                return
            sink.sendall(data)
            limit = None if limit is None else limit - len(data)
    except OSError:
        return


def run(url: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    song = tmp_path / os.fsdecode(b"s\xf6ng.mp3")  # not UTF-8
    song.write_bytes(song_bytes(1.0))
    command = [sys.executable, str(SCRIPT), str(song), "-o", str(tmp_path / "stems"), *options]
    return subprocess.run(
        command, env=os.environ | {"MSAAS_URL": url}, capture_output=True, text=True, timeout=120, check=False
    )


def stems_are_whole(folder: Path) -> bool:
    with zipfile.ZipFile(folder / "stems.zip") as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    expected = {f"{stem}.mp3": stem.encode() * 60_000 for stem in STEMS}
    saved = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "stems.zip"}
    return zipped == saved == expected
