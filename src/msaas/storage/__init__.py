"""Songs, stems and waveforms in an S3 server. Independent of jobs and of the API."""

from msaas.storage.connection import REGION, connect
from msaas.storage.storage import (
    BUCKETS,
    CHECK_NAME,
    CHUNK_BYTES,
    INPUTS,
    OUTPUTS,
    PARTS_AT_ONCE,
    UNKNOWN,
    WAVEFORMS,
    ExpectedUpload,
    Storage,
    StoredObject,
)

__all__ = [
    "BUCKETS",
    "CHECK_NAME",
    "CHUNK_BYTES",
    "INPUTS",
    "OUTPUTS",
    "PARTS_AT_ONCE",
    "REGION",
    "UNKNOWN",
    "WAVEFORMS",
    "ExpectedUpload",
    "Storage",
    "StoredObject",
    "connect",
]
