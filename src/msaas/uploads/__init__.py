"""Unfinished uploads, which arrive in parts (tus 1.0). The state is in Redis, the bytes are in the object store."""

from msaas.uploads.append import Append
from msaas.uploads.records import Chunk, Upload, new_id, parse_id
from msaas.uploads.uploads import UploadLimits, Uploads

__all__ = ["Append", "Chunk", "Upload", "UploadLimits", "Uploads", "new_id", "parse_id"]
