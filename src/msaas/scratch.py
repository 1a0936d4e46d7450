"""Whether the folder for temporary files can be used, found out before work begins."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from msaas.errors import SettingsError


def check_writable(folder: Path) -> None:
    """Makes the folder if need be. Raises SettingsError; a full disk is no mistake of a setting, and passes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return
        reason = error.strerror or error
        raise SettingsError(
            f"MSAAS_SCRATCH_DIR={str(folder)!r} is not usable: nothing can be written there: {reason}"
        ) from error
