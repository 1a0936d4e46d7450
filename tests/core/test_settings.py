"""Settings are typed and checked at start. docs/settings.md lists every one."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from msaas.cli.settings import GROUPS, markdown_tables
from msaas.errors import SettingsError
from msaas.scratch import check_writable
from msaas.settings import Settings, describe

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_defaults_need_no_environment():
    settings = Settings.from_env({})
    assert settings.redis_host == "localhost:6379"
    assert settings.max_upload_bytes == 200_000_000
    assert settings.allowed_models == ("htdemucs",)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("redis", "redis:6379"),
        ("redis:7000", "redis:7000"),
        ("10.0.0.1", "10.0.0.1:6379"),
        ("[::1]:7", "[::1]:7"),
        ("redis://redis", "redis:6379"),
        ("rediss://redis.example.com", "rediss://redis.example.com:6379"),
        ("redis+sentinel://a,b:7,[::1]/main", "redis+sentinel://a:26379,b:7,[::1]:26379/main"),
        ("rediss+sentinel://a/main", "rediss+sentinel://a:26379/main"),
    ],
)
def test_a_host_comes_with_or_without_its_port(given, read):
    assert Settings.from_env({"REDIS_HOST": given}).redis_host == read


def test_what_kubernetes_injects_for_a_service_is_not_read():
    env = {"REDIS_PORT": "tcp://10.0.0.1:6379", "MINIO_PORT": "tcp://10.0.0.2:9000"}
    assert Settings.from_env(env) == Settings.from_env({})


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(SettingsError, match="MSAAS_MODLE"):
        Settings.from_env({"MSAAS_MODLE": "htdemucs"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MSAAS_PORT", "http"),
        ("MSAAS_PORT", "70000"),
        ("MSAAS_MAX_UPLOAD_BYTES", "0"),
        ("MSAAS_MAX_DURATION_SECONDS", "nan"),
        ("MSAAS_DEVICE", "tpu"),
        ("MSAAS_DEBUG_ENDPOINTS", "maybe"),
        ("MSAAS_MODEL", "../etc/passwd"),
        ("MSAAS_MODEL_REPO", "~no-such-user/models"),
        ("MSAAS_SCRATCH_DIR", "~no-such-user/scratch"),
        ("REDIS_HOST", "redis://user:word@redis/0"),
        ("REDIS_HOST", "http://redis"),
        ("REDIS_HOST", "redis+sentinel://a,b"),
        ("REDIS_HOST", "redis+sentinel:///main"),
        ("MSAAS_REDIS_REPLICAS", "-1"),
        ("MSAAS_CA_FILE", "/nowhere/ca.pem"),
        ("MSAAS_CA_FILE", __file__),
        ("REDIS_HOST", ""),
        ("MINIO_HOST", "minio:99999"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_value(name, value):
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({name: value})
    assert name in str(refused.value)
    assert repr(value) in str(refused.value)


NUMBERS = [
    field.metadata["name"]
    for field in fields(Settings)
    if field.metadata["default"].replace(".", "", 1).isdigit() or field.metadata["unit"] == "ports"
]


@pytest.mark.parametrize("value", ["abc", "1e400", "-1", "", "12 MB", "nan"])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_says_plainly_what_it_takes(name, value):
    if name in ("MSAAS_CALLBACK_PORTS", "MSAAS_FETCH_PORTS") and not value:
        return  # none
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({name: value})
    said = str(refused.value).partition(" is not usable: ")[2]
    assert re.fullmatch(r"(give a (whole )?number|must lie) between [\d.]+ and \d+", said), refused.value


@pytest.mark.parametrize("value", ["h:abc", "h:0", "h:70000", "[::1", "http://h"])
@pytest.mark.parametrize("name", ["REDIS_HOST", "MINIO_HOST"])
def test_every_host_says_plainly_what_it_takes(name, value):
    with pytest.raises(SettingsError, match=r"is not usable: give host or host:port"):
        Settings.from_env({name: value})


@pytest.mark.parametrize("name", ["MSAAS_PUBLIC_URL", "MSAAS_S3_PUBLIC_URL"])
def test_every_url_says_plainly_what_it_takes(name):
    for value in ("http://h:abc", "http://[::1", "h:5000", "ftp://h"):
        with pytest.raises(SettingsError, match=r"is not usable: give http"):
            Settings.from_env({name: value})


def test_scratch_that_cannot_be_written_is_a_wrong_setting(tmp_path):
    check_writable(tmp_path / "new")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", tmp_path / "file" / "x", Path("/proc/x")):
        with pytest.raises(SettingsError, match=r"MSAAS_SCRATCH_DIR=.* is not usable: nothing can be written there"):
            check_writable(folder)


def test_a_heartbeat_slower_than_half_the_lease_is_refused():
    with pytest.raises(SettingsError, match="MSAAS_HEARTBEAT_SECONDS"):
        Settings.from_env({"MSAAS_LEASE_SECONDS": "2", "MSAAS_HEARTBEAT_SECONDS": "1.5"})


def test_the_default_model_is_always_allowed():
    settings = Settings.from_env({"MSAAS_MODEL": "htdemucs_mini", "MSAAS_MODELS": "htdemucs, htdemucs_ft"})
    assert settings.allowed_models == ("htdemucs_mini", "htdemucs", "htdemucs_ft")


def test_the_page_lists_every_setting_as_it_is():
    tables = markdown_tables(describe())
    assert tables in PAGE.read_text(encoding="utf-8"), "`msaas settings --markdown` prints the tables"


def test_every_setting_is_in_one_group():
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(row["name"] for row in describe())


def test_a_quality_is_a_model_an_overlap_and_shifts():
    settings = Settings.from_env({"MSAAS_MODELS": "htdemucs_ft", "MSAAS_QUALITY_BEST": "model=htdemucs_ft shifts=3"})
    assert dict(settings.qualities["best"]) == {"model": "htdemucs_ft", "shifts": 3}
    assert dict(settings.qualities["balanced"]) == {}


@pytest.mark.parametrize("wrong", ["shifts=99", "overlap", "loud=1", "model=other_model", "format=mp3", "shifts="])
def test_a_quality_that_cannot_be_used_is_refused_at_start(wrong):
    with pytest.raises(SettingsError, match="MSAAS_QUALITY_FAST"):
        Settings.from_env({"MSAAS_QUALITY_FAST": wrong})
