"""`msaas buckets`: songs and stems are copied to a folder, and put back from it."""

import errno
import fcntl
import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from msaas.cli import main
from msaas.errors import MSaaSError
from msaas.maintenance.bucket_copy import CLOCK_SKEW_SECONDS, LOCK, PARTIAL, copy_buckets, restore_buckets
from msaas.maintenance.copied_names import ENCODED, name_of, path_of
from msaas.storage import ALL_BUCKETS, INPUTS, OUTPUTS, UPLOADS, WAVEFORMS, StoredObject

SONG = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
STEM = f"{SONG}-vocals.flac"
KEEP = 3600.0


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "copy"
    made.mkdir()
    return made


def now_of(storage, bucket: str, name: str) -> float:
    """When the store says that it got the object, and a while later."""
    return storage.stat_object(bucket, name).modified.timestamp() + CLOCK_SKEW_SECONDS + 10


def put(storage, tmp_path: Path, bucket: str, name: str, data: bytes) -> float:
    file = tmp_path / "object"
    file.write_bytes(data)
    storage.put_object(bucket, name, file)
    return now_of(storage, bucket, name)


def everything(storage) -> dict[str, bytes]:
    return {
        f"{bucket}/{found.name}": b"".join(storage.read_object(bucket, found.name))
        for bucket in ALL_BUCKETS
        for found in storage.names(bucket)
    }


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for bucket in ALL_BUCKETS for path in (folder / bucket).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def filled(storage, tmp_path):
    """Objects of each bucket; one of them has parts (over 5 MiB), one is empty. Returns the time."""
    put(storage, tmp_path, INPUTS, f"{SONG}.mp3", os.urandom(6 << 20))
    put(storage, tmp_path, OUTPUTS, STEM, b"a stem")
    put(storage, tmp_path, OUTPUTS, f"{SONG}-drums.flac", b"")
    put(storage, tmp_path, UPLOADS, "an-upload/1", b"a chunk")
    return put(storage, tmp_path, WAVEFORMS, f"{SONG}.json", b"{}")


def test_a_copy_has_every_object_and_puts_it_back_into_an_empty_store(storage, folder, filled):
    before = everything(storage)
    copied = copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    assert (copied.transferred, copied.failed) == (5, 0)
    assert files_of(folder) == before
    storage.empty()
    assert restore_buckets(storage, folder).transferred == 5
    assert everything(storage) == before
    found = storage.client.stat_object(OUTPUTS, STEM)
    assert found.content_type == "audio/flac"


def test_what_has_not_changed_is_not_copied_again(storage, folder, filled):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    again = copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    assert (again.transferred, again.unchanged) == (0, 5)
    assert restore_buckets(storage, folder).unchanged == 5


def test_an_object_of_the_same_size_that_was_written_since_the_copy_is_copied_again(storage, folder, tmp_path, filled):
    early = filled - 2 * CLOCK_SKEW_SECONDS  # an earlier copy: what was written since may have changed
    copy_buckets(storage, folder, keep_seconds=KEEP, now=early)
    put(storage, tmp_path, OUTPUTS, STEM, b"A STEM")
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    assert (folder / OUTPUTS / STEM).read_bytes() == b"A STEM"


def test_a_file_that_was_cut_short_is_copied_again(storage, folder, filled):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    path = folder / OUTPUTS / STEM
    path.write_bytes(b"a st")
    os.utime(path, (filled, filled))
    assert copy_buckets(storage, folder, keep_seconds=KEEP, now=filled).transferred == 1
    assert path.read_bytes() == b"a stem"


def test_what_the_store_has_deleted_is_kept_for_a_while(storage, folder, filled):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    storage.remove_stem(STEM)
    kept = copy_buckets(storage, folder, keep_seconds=KEEP, now=filled + KEEP - 1)
    assert (kept.removed, (folder / OUTPUTS / STEM).exists()) == (0, True)
    gone = copy_buckets(storage, folder, keep_seconds=KEEP, now=filled + KEEP + 1)
    assert (gone.removed, (folder / OUTPUTS / STEM).exists()) == (1, False)
    assert len(files_of(folder)) == 4


def test_a_store_without_buckets_deletes_no_copy(storage, folder, filled):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    storage.empty()
    for bucket in ALL_BUCKETS:
        storage.client.remove_bucket(bucket)
    assert copy_buckets(storage, folder, keep_seconds=KEEP, now=filled + 1).removed == 0
    assert len(files_of(folder)) == 5
    assert restore_buckets(storage, folder).transferred == 5


class ShortStore:
    """A store that lists these objects and cuts their data short."""

    def __init__(self, *names: str) -> None:
        self.listed = names

    def names(self, bucket):
        return (StoredObject(name, 6, "", None) for name in self.listed if bucket == OUTPUTS)

    def read_object(self, _bucket, _name):
        yield b"a st"


def test_an_object_that_the_store_cuts_short_leaves_the_older_copy(folder):
    path = folder / OUTPUTS / STEM
    path.parent.mkdir()
    path.write_bytes(b"older")
    now = path.stat().st_mtime
    for later in (0, 10 * KEEP):  # however often: the object is still in the store
        report = copy_buckets(ShortStore(STEM), folder, keep_seconds=KEEP, now=now + later)
        assert (report.failed, report.transferred, report.removed, path.read_bytes()) == (1, 0, 0, b"older")


@pytest.mark.parametrize("name", ["../../escaped", "a/../../../escaped", "./a", "a/.."])
def test_a_name_that_leads_out_of_the_folder_is_not_written(folder, name):
    report = copy_buckets(ShortStore(name), folder, keep_seconds=KEEP, now=0)
    assert report.failed == 1
    assert {path.name for path in folder.rglob("*")} == {LOCK}
    assert not (folder.parent / "escaped").exists()


UNUSUAL = (
    *("dir", "dir/child", "dir/child/of child"),
    *("ü" * 128 + "/long", "l" * 256 + "/a", "percent %2F + %.more", "a\nb", "..."),
)


def test_names_that_no_file_can_have_and_names_of_files_and_folders_at_once_are_copied_and_restored(
    storage, folder, tmp_path
):
    now = max(put(storage, tmp_path, OUTPUTS, name, name.encode()) for name in UNUSUAL)
    before = everything(storage)
    assert len(before) == len(UNUSUAL)
    first = copy_buckets(storage, folder, keep_seconds=KEEP, now=now)
    again = copy_buckets(storage, folder, keep_seconds=KEEP, now=now)
    assert (first.transferred, first.failed, again.unchanged, again.failed) == (len(UNUSUAL), 0, len(UNUSUAL), 0)
    storage.empty()
    assert restore_buckets(storage, folder).transferred == len(UNUSUAL)
    assert everything(storage) == before


def test_an_object_in_place_of_a_folder_and_a_folder_in_place_of_an_object_are_copied_once(storage, folder, tmp_path):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=put(storage, tmp_path, OUTPUTS, "dir", b"old"))
    storage.empty()
    now = put(storage, tmp_path, OUTPUTS, "dir/child", b"new")
    assert copy_buckets(storage, folder, keep_seconds=KEEP, now=now).transferred == 1
    later = copy_buckets(storage, folder, keep_seconds=0, now=now + 10 * KEEP)
    assert (later.unchanged, later.removed) == (1, 1)
    assert copy_buckets(storage, folder, keep_seconds=KEEP, now=now + 10 * KEEP).transferred == 0
    storage.empty()
    assert restore_buckets(storage, folder).transferred == 1
    assert everything(storage) == {f"{OUTPUTS}/dir/child": b"new"}


@pytest.mark.parametrize("name", ["/etc/escaped", "a//b", "a\0b", "a/", "x" * 1024, "é/" * 340, "d/" + "%" * 1000])
def test_every_name_that_is_copied_is_read_back(tmp_path, name):
    path = path_of(tmp_path, OUTPUTS, name)
    path.parent.mkdir(parents=True)
    path.touch()
    assert (name_of(path, tmp_path), path.resolve().is_relative_to(tmp_path)) == (name, True)
    assert path_of(tmp_path, OUTPUTS, name) == path


@pytest.mark.parametrize("file", ["dir", "dir.end/x.end", "%ff.end", "%zz.end", ".end", "a.more/b.end"])
def test_a_file_beside_the_encoded_names_that_is_none_is_counted(folder, storage, file):
    path = folder / ENCODED / OUTPUTS / file
    path.parent.mkdir(parents=True)
    path.touch()
    report = restore_buckets(storage, folder)
    assert (report.failed, report.transferred) == (1, 0)


class WholeStore(ShortStore):
    """A store that lists these objects and returns all of their data."""

    def read_object(self, _bucket, _name):
        yield b"a stem"


def test_a_name_that_the_file_system_refuses_is_counted(folder, monkeypatch):
    refused = OSError(errno.ENAMETOOLONG, "File name too long")
    monkeypatch.setattr(Path, "replace", Mock(side_effect=refused))
    assert copy_buckets(WholeStore("a", "b"), folder, keep_seconds=KEEP, now=0).failed == 2
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        copy_buckets(WholeStore("a", "b"), folder, keep_seconds=KEEP, now=0)


def a_dangling_link(folder):
    (folder / OUTPUTS).mkdir()
    (folder / OUTPUTS / "dir").symlink_to("nowhere")


def a_folder_of_the_name(folder):
    (folder / ENCODED / OUTPUTS / "a%2F%2Fb.end").mkdir(parents=True)


def a_file_in_place_of_the_folder(folder):
    (folder / ENCODED).touch()


@pytest.mark.parametrize("put", [a_dangling_link, a_folder_of_the_name, a_file_in_place_of_the_folder])
def test_a_place_that_is_taken_ends_no_copy(folder, put):
    put(folder)
    report = copy_buckets(WholeStore("dir/child", "a//b", STEM), folder, keep_seconds=KEEP, now=0)
    assert (report.failed, report.transferred) == (1, 2)
    assert (folder / OUTPUTS / STEM).read_bytes() == b"a stem"


def test_a_folder_of_copies_may_be_called_as_that_of_the_encoded_names(storage, tmp_path, filled):
    folder = tmp_path / ENCODED
    folder.mkdir()
    copied = copy_buckets(storage, folder, keep_seconds=KEEP, now=0)
    before = everything(storage)
    storage.empty()
    restored = restore_buckets(storage, folder)
    assert (copied.failed, restored.failed, everything(storage)) == (0, 0, before)


def test_an_object_that_the_store_refuses_is_counted(storage, folder):
    storage.ensure_buckets()
    for name in ("l" * 256, STEM):  # as the last part of a name, SeaweedFS refuses 256 bytes
        path = path_of(folder, OUTPUTS, name)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"a stem")
    report = restore_buckets(storage, folder)
    assert (report.failed, report.transferred) == (1, 1)
    assert everything(storage) == {f"{OUTPUTS}/{STEM}": b"a stem"}


def test_what_a_killed_copy_left_is_no_file_of_the_copy(storage, folder, filled):
    (folder / PARTIAL).write_bytes(b"half an object")
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    assert files_of(folder) == everything(storage)


def test_what_cannot_be_restored_is_counted_and_the_rest_is_restored(storage, folder, filled, caplog):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    before = everything(storage)
    storage.empty()
    stems = folder / OUTPUTS
    (stems / "a-link").symlink_to(stems / "missing")
    os.mkfifo(stems / "a-pipe")
    Path(os.fsdecode(os.fsencode(stems) + b"/\xff")).write_bytes(b"x")
    report = restore_buckets(storage, folder)
    assert (report.transferred, report.failed) == (5, 3)
    assert everything(storage) == before
    assert "a-link" in caplog.text and "not UTF-8" in caplog.text


def test_a_folder_that_cannot_be_read_is_counted(storage, folder, filled, monkeypatch):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    storage.empty()
    scan = os.scandir

    def refusing(path):
        if str(path).endswith("an-upload"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = restore_buckets(storage, folder)
    assert (report.transferred, report.failed) == (4, 1)


def test_a_copy_that_is_read_only_is_restored(storage, folder, filled, monkeypatch):
    copy_buckets(storage, folder, keep_seconds=KEEP, now=filled)
    storage.empty()
    (folder / LOCK).unlink()
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    assert restore_buckets(storage, folder).transferred == 5
    assert not (folder / LOCK).exists()


def test_one_copy_at_a_time(storage, folder):
    with (folder / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MSaaSError, match="another copy is at work"):
            copy_buckets(storage, folder, keep_seconds=KEEP, now=0)


def test_the_command_copies_and_restores(storage, folder, environ, monkeypatch, capsys, filled):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    before = everything(storage)
    assert main(["buckets", "copy", str(folder / "songs")]) == 0
    assert capsys.readouterr().out == "transferred=5 unchanged=0 removed=0 failed=0\n"
    storage.empty()
    assert main(["buckets", "restore", str(folder / "songs")]) == 0
    assert everything(storage) == before
    (folder / "empty").mkdir()
    assert main(["buckets", "restore", str(folder / "empty")]) == 1
    assert "contains no copy of the buckets" in capsys.readouterr().err
    (folder / "file").touch()
    for command, name, reason in (
        ("restore", "missing", "does not exist; expected: a copy that `msaas buckets copy` made"),
        ("restore", "file", "is not a folder"),
        ("copy", "file", "a file, not a folder"),
    ):
        assert main(["buckets", command, str(folder / name)]) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["buckets", "copy", str(folder), "--keep-days", "-1"])
