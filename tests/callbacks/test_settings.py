"""The settings of callbacks: refused at start where wrong, secrets never shown."""

import pytest

from msaas.errors import SettingsError
from msaas.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MSAAS_CALLBACK_ALLOW", "10.0.0.1/8"),
        ("MSAAS_CALLBACK_ALLOW", "home"),
        ("MSAAS_CALLBACK_PORTS", "0"),
        ("MSAAS_CALLBACK_PORTS", "http"),
        ("MSAAS_PUBLIC_URL", "music.example"),
        ("MSAAS_PUBLIC_URL", "ftp://music.example"),
        ("MSAAS_PUBLIC_URL", "https://music.example/?a=b"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_value(name, value):
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({name: value})
    assert name in str(refused.value) and repr(value) in str(refused.value)


@pytest.mark.parametrize("value", ["whsec_c2VjcmV0", "hunter2hunter2hunter2hunter2!", "whsec_geheim"])
def test_a_wrong_secret_is_refused_and_not_shown(value):
    with pytest.raises(SettingsError, match="MSAAS_CALLBACK_SECRETS") as refused:
        Settings.from_env({"MSAAS_CALLBACK_SECRETS": value})
    assert value not in str(refused.value) and value.removeprefix("whsec_") not in str(refused.value)


def test_as_delivered_nothing_is_opened_and_nothing_signed():
    settings = Settings.from_env({})
    assert (settings.callback_allow, settings.callback_secrets, settings.public_url) == ((), (), "")
    assert settings.callback_ports == {80, 443, 5000, 8080, 8443}


def test_a_public_address_is_kept_without_its_last_slash():
    assert (
        Settings.from_env({"MSAAS_PUBLIC_URL": "https://music.example/api/"}).public_url == "https://music.example/api"
    )
