"""The key that client and commands show: where it comes from, where it goes, and where it never does."""

from __future__ import annotations

from pathlib import Path

import pytest

from msaas import cli
from msaas.client import BadKey, Client, ServiceError
from tests.support.models.standin import DONE, HASH, Answer, Api

KEY = "msaas_" + "k3y-" * 10
LIMITED = {"title": "Too Many Requests", "detail": "used up", "code": "audio_quota_exceeded", "status": 429}


def shown(api: Api) -> set[str]:
    return {asked.headers.get("authorization", "") for asked in api.asked}


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSAAS_API_KEY", raising=False)


def test_a_key_is_shown_with_every_call_and_stands_in_no_address(api: Api, tmp_path: Path) -> None:
    with Client(api.url, key=KEY) as client:
        client.separate(b"a song", tmp_path)
    assert len(api.asked) > 3
    assert shown(api) == {f"Bearer {KEY}"}
    assert not [asked for asked in api.asked if KEY in asked.path or KEY in str(asked.query)]


def test_without_a_key_none_is_shown(api: Api) -> None:
    Client(api.url).job(HASH)
    assert shown(api) == {""}


def test_the_key_is_msaas_api_key_where_none_is_given(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAAS_API_KEY", f" {KEY}\n")
    Client(api.url).job(HASH)
    assert shown(api) == {f"Bearer {KEY}"}
    Client(api.url, key="").job(HASH)
    assert shown(api) == {f"Bearer {KEY}", ""}


def test_what_netrc_holds_does_not_take_its_place(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client = Client(api.url, key=KEY)
    client._transport._session.trust_env = True  # as it is for every host but this machine
    client.job(HASH)
    assert shown(api) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("wrong", ["two words", "line\nend", "schlüssel"])
def test_what_cannot_be_a_key_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(BadKey) as refused:
        Client(key=wrong)
    assert wrong not in str(refused.value)


def test_commands_take_the_key_from_a_file(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    api.answers[f"/apiv1/jobs/{HASH}"] = [Answer(body=DONE)]
    assert cli.main(["jobs", HASH, "--url", api.url, "--key-file", str(tmp_path / "key")]) == 0
    assert shown(api) == {f"Bearer {KEY}"}
    assert cli.main(["jobs", HASH, "--url", api.url, "--key-file", str(tmp_path / "none")]) == 2
    assert KEY not in "".join(capsys.readouterr())


def test_a_quota_of_a_minute_is_waited_for_and_one_of_a_day_is_not(
    api: Api, client: Client, pauses: list[float]
) -> None:
    api.put_first(f"/apiv1/jobs/{HASH}", Answer(429, LIMITED, {"Retry-After": "41"}))
    client.job(HASH)
    assert pauses == [41]
    api.put_first(f"/apiv1/jobs/{HASH}", Answer(429, LIMITED, {"Retry-After": "40000"}))
    with pytest.raises(ServiceError) as refused:
        client.job(HASH)
    assert refused.value.code == "audio_quota_exceeded"
    assert pauses == [41]
