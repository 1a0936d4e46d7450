"""Resolves arguments to songs: files, pipes, standard input (`-`) and the audio files of folders."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from msaas.cli.paths import UnusablePath, path_argument
from msaas.cli.songs.folders import MANIFEST
from msaas.client.names import folder_name, is_address, path_part, printable

STANDARD_INPUT = Path("/dev/stdin")
PIPES = (Path("/dev/fd"), Path("/proc/self/fd"))

# Extensions of audio files in folders; a file given by name is always tried. What FFmpeg reads and people keep music
# in, including films. mimetypes is not used: its table depends on the machine, and counts playlists and MIDI as audio.
_AUDIO = (
    "aac ac3 aif aifc aiff alac amr ape au caf dff dsf dts eac3 flac gsm m4a m4b m4r mka mp1 mp2 mp3 mpc mpga oga ogg"
    " oma opus ra shn snd spx tak tta voc w64 wav wave weba wma wv"
)
_FILMS = "3gp asf avi flv m2ts m4v mkv mov mp4 mpeg mpg mts ogv vob webm wmv"
AUDIO_EXTENSIONS = frozenset(f"{_AUDIO} {_FILMS}".split())


class SongAddress(str):
    """A song's URL, which the service fetches."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part of its path, else the host."""
        parts = urlsplit(self)
        return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc.rpartition("@")[2]


@dataclass(frozen=True)
class SongTask:
    """A song and the folder intended for its stems."""

    song: Path | SongAddress
    folder: Path

    def of_part(self, start: float | None, end: float | None) -> SongTask:
        """The same for a part of the song, in seconds: its stems do not replace those of the whole song."""
        if start is None and end is None:
            return self
        part = f"to {end:g} s" if start is None else f"from {start:g} s" if end is None else f"{start:g} to {end:g} s"
        return replace(self, folder=self.folder.with_name(f"{self.folder.name} ({part})"))


@dataclass(frozen=True)
class InputSongs:
    """`skipped`: files in folders that are not audio by their names."""

    tasks: Sequence[SongTask]
    skipped: Sequence[Path] = field(default_factory=tuple)


def song_argument(text: str) -> Path:
    """For argparse: `-` is standard input."""
    return STANDARD_INPUT if text == "-" else path_argument(text)


def song_or_address(text: str) -> Path | SongAddress:
    """For argparse: a URL is an address, everything else as `song_argument`."""
    return SongAddress(text) if is_address(text) else song_argument(text)


def songs_of(arguments: Sequence[Path | SongAddress], out: Path, *, recursive: bool = False) -> InputSongs:
    """`<out>/<song>` for a file, `<out>/<folder>/…/<song>` for a file in a folder.

    Raises UnusablePath for a folder that has no audio or cannot be read, and for standard input that is a terminal or
    given twice. A missing file is reported when it is opened.
    """
    if arguments.count(STANDARD_INPUT) > 1:
        raise UnusablePath("standard input can be read only once")
    if STANDARD_INPUT in arguments and sys.stdin is not None and sys.stdin.isatty():
        raise UnusablePath("standard input is a terminal; redirect a song: msaas separate - < song.mp3")
    tasks: list[SongTask] = []
    skipped: list[Path] = []
    for argument in arguments:
        if isinstance(argument, SongAddress):
            tasks.append(SongTask(argument, out / folder_name(argument.name)))
            continue
        if not os.path.isdir(argument):  # noqa: PTH112 (pathlib raises for some paths)
            tasks.append(SongTask(argument, out / stem_folder(argument)))
            continue
        found = _in_folder(argument, out, recursive)
        tasks += found.tasks
        skipped += found.skipped
    return InputSongs(tasks, skipped)


def stem_folder(song: Path) -> str:
    """The name of the folder for a song's stems."""
    if song == STANDARD_INPUT:
        return "stdin"
    return "pipe" if song.parent in PIPES else folder_name(song.name)


def open_song(song: Path) -> IO[bytes]:
    """Raises OSError. Standard input is not opened by path, which fails for a socket."""
    if song == STANDARD_INPUT:
        return os.fdopen(os.dup(0), "rb")
    return song.open("rb")


def is_stream(song: Path) -> bool:
    """Whether it can be read only once, from start to end. Raises OSError."""
    mode = os.fstat(0).st_mode if song == STANDARD_INPUT else song.stat().st_mode
    return not stat.S_ISREG(mode)


# --- folders


def _in_folder(folder: Path, out: Path, recursive: bool) -> InputSongs:
    below = out / path_part(folder.resolve().name)
    tasks: list[SongTask] = []
    skipped: list[Path] = []
    for file in _files(folder, out, recursive):
        if not _is_audio(file):
            skipped.append(file)
            continue
        inside = [path_part(part) for part in file.parent.relative_to(folder).parts]
        tasks.append(SongTask(file, below.joinpath(*inside, stem_folder(file))))
    if not tasks:
        raise UnusablePath(_no_audio(folder, out, recursive))
    return InputSongs(tasks, skipped)


def _no_audio(folder: Path, out: Path, recursive: bool) -> str:
    hint = ""
    if not recursive and any(map(_is_audio, _files(folder, out, recursive=True))):
        hint = "; its subfolders do: use -r"
    return f"{printable(folder)} has no audio files{hint}"


def _is_audio(file: Path) -> bool:
    return file.suffix.lstrip(".").lower() in AUDIO_EXTENSIONS


def _files(folder: Path, out: Path, recursive: bool) -> Iterator[Path]:
    """Regular files by name, without hidden ones and without stems of earlier runs."""
    for place, folders, files in os.walk(folder, onerror=_refuse):
        current = Path(place)
        folders[:] = sorted(name for name in folders if recursive and not _is_ours(current / name, out))
        yield from (current / name for name in sorted(files) if not name.startswith(".") and (current / name).is_file())


def _is_ours(folder: Path, out: Path) -> bool:
    hidden = folder.name.startswith(".")
    return hidden or (folder / MANIFEST).exists() or (out.exists() and folder.samefile(out))


def _refuse(error: OSError) -> None:
    raise UnusablePath(f"{printable(str(error.filename))} cannot be read: {error.strerror}") from error
