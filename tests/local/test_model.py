"""Which model a stack takes: what was asked for, else the real one, else the small one with a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from msaas.errors import MSaaSError, SettingsError
from msaas.local.model import choose_model, models_folder


def never(_name: str, _repo: Path | None) -> bool:
    return False


def always(_name: str, _repo: Path | None) -> bool:
    return True


def test_model_asked_for_is_never_replaced() -> None:
    choice = choose_model({"MSAAS_MODEL": "mdx"}, is_obtainable=never)
    assert (choice.name, choice.environ, choice.warning) == ("mdx", {}, ())


def test_real_model_is_taken_where_it_can_be_had() -> None:
    choice = choose_model({}, is_obtainable=always)
    assert choice.name == "htdemucs"
    assert choice.environ == {"MSAAS_MODEL": "htdemucs"}
    assert not choice.warning


def test_folder_of_the_operator_is_asked_for_it(tmp_path: Path) -> None:
    asked: list[Path | None] = []
    choose_model({"MSAAS_MODEL_REPO": str(tmp_path)}, is_obtainable=lambda _name, repo: not asked.append(repo))
    assert asked == [tmp_path]


@pytest.mark.parametrize("model", [{}, {"MSAAS_MODEL": "mdx"}])
def test_folder_that_is_not_there_is_refused_rather_than_passed_over(tmp_path: Path, model: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"MSAAS_MODEL_REPO=.*does not exist"):
        choose_model(model | {"MSAAS_MODEL_REPO": str(tmp_path / "wieghts")}, is_obtainable=always)


def test_small_model_stands_in_with_a_warning_that_says_how_to_mend_it(tmp_path: Path) -> None:
    choice = choose_model({}, is_obtainable=never, folder=lambda: tmp_path)
    assert choice.environ == {"MSAAS_MODEL": "msaas_mini", "MSAAS_MODEL_REPO": str(tmp_path)}
    assert choice.warning[0] == "A SMALL MODEL IS IN USE: msaas_mini"
    assert "msaas models fetch htdemucs" in "\n".join(choice.warning)


def test_without_the_networks_of_other_families_the_smallest_model_is_taken(tmp_path: Path) -> None:
    choice = choose_model({}, is_obtainable=never, folder=lambda: tmp_path, has_scnet=lambda: False)
    assert choice.environ == {"MSAAS_MODEL": "htdemucs_mini", "MSAAS_MODEL_REPO": str(tmp_path)}
    assert choice.warning[0] == "A SMALL MODEL IS IN USE: htdemucs_mini"


def test_without_either_the_error_names_both() -> None:
    with pytest.raises(MSaaSError, match=r"htdemucs are not on this machine.*models/msaas_mini is missing"):
        choose_model({}, is_obtainable=never, folder=lambda: None)


def test_repository_has_the_small_model() -> None:
    folder = models_folder()
    assert folder is not None
    assert (folder / "htdemucs_mini" / "htdemucs_mini.yaml").is_file()


def test_small_model_asked_for_by_name_needs_no_folder() -> None:
    folder = models_folder()
    chosen = choose_model({"MSAAS_MODEL": "htdemucs_mini"})
    assert (chosen.name, chosen.environ, chosen.warning) == ("htdemucs_mini", {"MSAAS_MODEL_REPO": str(folder)}, ())
