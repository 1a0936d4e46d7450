"""A complete upload as one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msaas.errors import BadRequest, NotFound
from msaas.uploads import Upload, Uploads
from msaas.web.options import ApiOptions
from msaas.web.uploads.spool import Spool


@contextmanager
def assembled(uploads: Uploads, upload: Upload, options: ApiOptions) -> Iterator[Spool]:
    """Deleted at the end of the block. Raises BadRequest for an empty upload, NotFound if bytes are missing."""
    song = _spool(uploads, upload, options)
    try:
        yield song
    finally:
        song.close()


def _spool(uploads: Uploads, upload: Upload, options: ApiOptions) -> Spool:
    try:
        return _copied(uploads, upload, options)
    except NotFound:
        now = uploads.get(upload.id)
        if now.songhash == upload.songhash:
            raise
        return _copied(uploads, now, options)  # another request has submitted it meanwhile


def _copied(uploads: Uploads, upload: Upload, options: ApiOptions) -> Spool:
    song = Spool(options.scratch_dir, options.max_upload_bytes)
    try:
        for data in uploads.read(upload):
            song.write(data)
        if song.size == 0:
            raise BadRequest("the song is empty: it has 0 bytes", code="empty_file")
        song.seek(0)
    except BaseException:
        song.close()
        raise
    return song
