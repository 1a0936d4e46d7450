"""Links by the client and the command line, with the API as it runs."""

from __future__ import annotations

import json

import pytest
import requests

from msaas import cli
from msaas.client import Client, ServiceError
from tests.support.api import song_bytes
from tests.support.api_process import real_api, url, worker

__all__ = ["real_api", "url", "worker"]


@pytest.fixture
def song(url, worker):
    with Client(url) as client:
        return client.wait(client.submit(song_bytes())).songhash


def test_the_client_shares_lists_and_revokes(url, song):
    with Client(url) as client:
        share = client.share(song, days=1, mix="mix=vocals:-6:0:")
        assert share.url.startswith(f"{url}/#/share/share_")
        assert (share.expires_at - share.created_at).days == 1
        shared = requests.get(f"{url}/apiv1/share", headers={"Authorization": f"Bearer {share.token}"}, timeout=60)
        assert shared.json()["mix"] == "mix=vocals:-6:0:"
        [listed] = client.shares(song)
        assert (listed.id, listed.url, listed.token) == (share.id, "", "")
        assert client.unshare(song, listed) == ()
        with pytest.raises(ServiceError) as error:
            client.unshare(song, share.id)
        assert error.value.code == "share_unknown"


def test_the_command_shares_lists_and_revokes(url, song, capsys):
    def typed(*arguments: str) -> str:
        assert cli.main(["share", song, *arguments, "--url", url]) == 0
        return capsys.readouterr().out.strip()

    assert typed("--days", "2").startswith(f"{url}/#/share/share_")
    [id_] = [line.split()[0] for line in typed("--list").splitlines()]
    assert json.loads(typed("--list", "--json"))[0]["id"] == id_
    assert typed("--revoke", id_) == "no links"
    with pytest.raises(SystemExit):
        cli.main(["share", song, "--list", "--days", "1"])
