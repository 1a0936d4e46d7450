"""The settings of uploads that arrive in parts."""

from __future__ import annotations

from dataclasses import dataclass

from msaas.settings.field import setting
from msaas.settings.parsers import number


@dataclass(frozen=True)
class UploadSettings:
    """Part of Settings."""

    upload_hours: float = setting(
        "MSAAS_UPLOAD_HOURS",
        "12",
        number(float, 0.01, 720),
        "hours",
        "an unfinished upload expires this long after its last progress",
    )
    max_unfinished_uploads: int = setting(
        "MSAAS_MAX_UNFINISHED_UPLOADS",
        "1000",
        number(int, 0, 10**6),
        "uploads",
        "unfinished uploads per API key (per address without keys); 0 for no limit",
    )
    max_unfinished_upload_bytes: int = setting(
        "MSAAS_MAX_UNFINISHED_UPLOAD_BYTES",
        "20000000000",
        number(int, 0, 10**15),
        "bytes",
        "declared size of a caller's unfinished uploads together; 0 for no limit",
    )
