"""Weights without a stated licence are refused until the operator accepts the model by its name."""

from __future__ import annotations

import pytest

from msaas.catalogue import LicenceRule, catalogue
from msaas.errors import SettingsError
from msaas.settings import Settings

UNLICENSED = [name for name, entry in catalogue().entries.items() if not entry.licence.stated]


@pytest.mark.parametrize("name", UNLICENSED)
def test_the_refusal_names_the_model_and_the_setting_that_accepts_it(name):
    refusal = LicenceRule().refusal(name)
    assert repr(name) in refusal
    assert refusal.endswith(f"set MSAAS_ACCEPT_UNLICENSED={name}")
    assert LicenceRule(frozenset({name})).refusal(name) == ""


def test_accepting_one_model_accepts_no_other_and_the_setting_is_given_whole():
    one, other, *_ = sorted(UNLICENSED)
    assert f"MSAAS_ACCEPT_UNLICENSED={one},{other}" in LicenceRule(frozenset({one})).refusal(other)


def test_licensed_models_and_ones_own_need_no_acceptance():
    names = ("htdemucs", "scnet_large", "mel_band_roformer_kim", "my_own_model")
    assert LicenceRule().allowed((*names, *UNLICENSED)) == names


@pytest.mark.parametrize("setting", ["MSAAS_MODEL", "MSAAS_MODELS"])
def test_a_service_does_not_start_with_a_model_that_nobody_accepted(setting):
    with pytest.raises(SettingsError, match=r"'scnet_xl_ihf' have no stated licence .* MSAAS_ACCEPT_UNLICENSED="):
        Settings.from_env({setting: "scnet_xl_ihf"})
    accepted = Settings.from_env({setting: "scnet_xl_ihf", "MSAAS_ACCEPT_UNLICENSED": "scnet_xl_ihf"})
    assert "scnet_xl_ihf" in accepted.allowed_models


def test_licences_are_accepted_by_name_only_and_unknown_names_stop_no_service():
    with pytest.raises(SettingsError, match="licences are accepted one by one"):
        Settings.from_env({"MSAAS_ACCEPT_UNLICENSED": "all"})
    Settings.from_env({"MSAAS_ACCEPT_UNLICENSED": "licensed_since,gone_from_the_catalogue"})


def test_all_is_no_name_of_a_model():
    settings = Settings.from_env({"MSAAS_MODELS": "scnet_large,all"})
    assert (settings.allowed_models, settings.all_models) == (("htdemucs", "scnet_large"), True)
    with pytest.raises(SettingsError, match="MSAAS_MODELS takes all"):
        Settings.from_env({"MSAAS_MODEL": "all"})
