"""Spools: hashed, bounded, gone when closed; strays swept, those in use left alone."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from msaas.errors import ScratchFull, UploadTooLarge
from msaas.scratch import hidden
from msaas.web.uploads.spool import PREFIX, Scratch, Spool, scratch_errors, sweep

FULL = Path("/dev/full")


def test_a_spool_hashes_what_it_holds_and_is_gone_when_closed(tmp_path):
    with Spool(tmp_path / "new" / "folder", 100) as spool:
        spool.write(b"abc")
        spool.write(b"def")
        spool.seek(0)
        assert spool.path.read_bytes() == b"abcdef"
        assert spool.sha256 == hashlib.sha256(b"abcdef").hexdigest()
    assert not spool.path.exists()


def test_a_spool_refuses_the_first_byte_too_many_unwritten(tmp_path):
    with Spool(tmp_path, 3) as spool:
        spool.write(b"abc")
        with pytest.raises(UploadTooLarge, match="3 bytes"):
            spool.write(b"d")
        spool.seek(0)
        assert spool.path.read_bytes() == b"abc"


def test_strays_are_swept_and_what_is_in_use_is_not(tmp_path):
    stray, other = tmp_path / f"{PREFIX}dead", tmp_path / "somebody else's"
    stray.touch()
    other.touch()
    with Scratch(tmp_path, 1) as used:
        assert sweep(tmp_path) == 1
        assert used.path.exists() and other.exists()
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path / "nowhere") == 0


def test_a_file_that_has_no_lock_yet_is_left_alone_for_a_while(tmp_path):
    new = tmp_path / hidden(f"{PREFIX}new")
    new.touch()
    assert sweep(tmp_path) == 0
    os.utime(new, (1, 1))
    assert sweep(tmp_path) == 1


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.ENOSPC, ScratchFull), (errno.EDQUOT, ScratchFull), (errno.EIO, OSError)]
)
def test_only_a_full_disk_is_told_as_one(tmp_path, number, raised):
    with pytest.raises(raised), scratch_errors(tmp_path):
        raise OSError(number, "x")


@pytest.mark.skipif(not FULL.exists(), reason="Linux only")
def test_a_disk_that_is_full_at_the_last_flush_is_still_closed(tmp_path):
    spool = Spool(tmp_path, 10**6)
    path = spool.path
    with FULL.open("wb") as full:
        os.dup2(full.fileno(), spool.file.fileno())
        spool.write(b"x" * 100)
        with pytest.raises(ScratchFull):
            spool.seek(0)
    spool.close()
    assert not path.exists()
