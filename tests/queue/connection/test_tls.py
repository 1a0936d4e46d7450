"""Redis and the S3 server over TLS, certified by an authority of one's own."""

import contextlib

import pytest
import trustme

from msaas.errors import QueueUnavailable, StorageUnavailable
from msaas.local.servers import LOOPBACK
from msaas.settings import Settings
from msaas.wiring.stores import build_queue, build_storage
from tests.support.servers.tls_proxy import tls_in_front_of


@pytest.fixture
def authority():
    return trustme.CA()


@pytest.fixture
def environ(authority, valkey, s3, tmp_path):
    """Settings of both servers over TLS, with the authority's certificate in MSAAS_CA_FILE."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with tls_in_front_of(valkey.address, authority) as redis, tls_in_front_of(s3.address, authority) as store:
        yield {
            "REDIS_HOST": f"rediss://{redis}",
            "MINIO_HOST": store,
            "MINIO_SECURE": "true",
            "MINIO_ACCESS_KEY": s3.keys.access,
            "MINIO_SECRET_KEY": s3.keys.secret,
            "MSAAS_CA_FILE": str(tmp_path / "ca.pem"),
        }


def use(environ):
    settings = Settings.from_env(environ)
    with contextlib.closing(build_queue(settings, timeout_seconds=5).redis) as client:
        client.ping()
    build_storage(settings, timeout_seconds=5).ensure_buckets()


def test_the_authority_of_the_setting_is_trusted(environ):
    use(environ)
    with contextlib.closing(build_queue(Settings.from_env(environ), timeout_seconds=5).redis) as client:
        assert client.ping()


@pytest.mark.parametrize("where", ["another authority", "the system's", "another name"])
def test_a_server_that_it_does_not_certify_is_not_used(environ, tmp_path, where):
    if where == "another authority":
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    elif where == "the system's":
        environ.pop("MSAAS_CA_FILE")
    else:
        environ |= {name: environ[name].replace("localhost", LOOPBACK) for name in ("REDIS_HOST", "MINIO_HOST")}
    settings = Settings.from_env(environ)
    with pytest.raises(QueueUnavailable, match=r"(?i)certificate"):
        build_queue(settings, timeout_seconds=5).ping()
    with pytest.raises(StorageUnavailable):
        build_storage(settings, timeout_seconds=5).ensure_buckets()
