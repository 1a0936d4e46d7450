"""Where things are, how long tests wait, and the settings that a service under test is started with."""

from __future__ import annotations

from pathlib import Path

from msaas.local.servers import Valkey, Weed, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
LEASE_SECONDS = 2.0
HEARTBEAT_SECONDS = 0.2
BUSY_SECONDS = 30.0  # what takes a moment ends within this on any machine; what hangs, in these tests, does not
LEFT_OUT = "left out:"  # begins the reason of a skip that a run names at its end


def service_environ(valkey: Valkey, s3: Weed, scratch: Path) -> dict[str, str]:
    """The settings as environment variables, for what is started as a process of its own."""
    return {
        "REDIS_HOST": valkey.address,
        "MINIO_HOST": s3.address,
        "MINIO_ACCESS_KEY": s3.keys.access,
        "MINIO_SECRET_KEY": s3.keys.secret,
        "MSAAS_PORT": str(free_port()),
        "MSAAS_WORKER_HTTP_PORT": str(free_port()),
        "MSAAS_SCRATCH_DIR": str(scratch),
        "MSAAS_SCRATCH_FREE_BYTES": "0",  # the disk of whoever runs the tests is no matter
        "MSAAS_MODEL": "htdemucs_mini",
        "MSAAS_MODEL_REPO": str(REPOSITORY / "models"),
        "MSAAS_DEVICE": "cpu",  # the same on each machine, whatever else it has
        "MSAAS_PRECISION": "fp32",
        "MSAAS_DEBUG_ENDPOINTS": "true",
        "MSAAS_LEASE_SECONDS": str(LEASE_SECONDS),
        "MSAAS_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    }
