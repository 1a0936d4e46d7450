"""Songs, stems and waveforms in an S3 server. Independent of jobs and of the API."""

from msaas.storage.connection import REGION, connect
from msaas.storage.storage import (
    ALL_BUCKETS,
    BUCKETS,
    CHECK_NAME,
    CHUNK_BYTES,
    INPUTS,
    OUTPUTS,
    PARTS_AT_ONCE,
    UNKNOWN,
    UPLOADS,
    WAVEFORM_SUFFIXES,
    WAVEFORMS,
    ExpectedUpload,
    Storage,
    StoredObject,
)

__all__ = [
    "ALL_BUCKETS",
    "BUCKETS",
    "CHECK_NAME",
    "CHUNK_BYTES",
    "INPUTS",
    "OUTPUTS",
    "PARTS_AT_ONCE",
    "REGION",
    "UNKNOWN",
    "UPLOADS",
    "WAVEFORMS",
    "WAVEFORM_SUFFIXES",
    "ExpectedUpload",
    "Storage",
    "StoredObject",
    "connect",
]
