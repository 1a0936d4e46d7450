"""`?redirect=1`: a link to the store, followed on the real one."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from tests.support.api import URL, Player


@pytest.fixture
def public(make_app, s3):
    """Clients reach the store by the same address, as a name of another spelling shows that the signature is for it."""
    port = s3.address.rpartition(":")[2]
    return make_app(s3_public_url=f"http://localhost:{port}", s3_link_seconds=60).test_client()


def link(client, name, method="get", **more):
    answer = getattr(client, method)(f"/apiv1/track/{name}?redirect=1", **more)
    assert answer.status_code == 307, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.headers["Location"]


def test_link_leads_to_the_stem_under_its_name_and_type(public, done):
    url = link(public, f"{done}-vocals")
    assert urlsplit(url).hostname == "localhost"
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.content == Player.content("vocals")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{done}-vocals.mp3"'
    assert answer.headers["Content-Type"] == "audio/mpeg"


def test_ranges_of_a_link_are_the_stores_own(public, done):
    answer = requests.get(link(public, f"{done}-bass"), headers={"Range": "bytes=4-7"}, timeout=60)
    assert (answer.status_code, answer.content) == (206, Player.content("bass")[4:8])


def test_link_that_head_asked_for_is_for_head(public, done):
    answer = requests.head(link(public, f"{done}-vocals", "head"), timeout=60)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) == len(Player.content("vocals"))


def test_link_is_for_one_object_and_one_method(public, done):
    url = link(public, f"{done}-vocals")
    assert requests.get(url.replace("-vocals.mp3", "-drums.mp3"), timeout=60).status_code == 403
    assert requests.delete(url, timeout=60).status_code == 403
    assert requests.get(url, timeout=60).status_code == 200


def test_link_runs_out(make_app, done, s3):
    client = make_app(s3_public_url=f"http://{s3.address}", s3_link_seconds=1).test_client()
    url = link(client, f"{done}-vocals")
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["1"]
    time.sleep(2.5)
    assert requests.get(url, timeout=60).status_code == 403


def test_without_a_public_address_the_redirect_is_refused_by_name_and_the_stem_still_comes(client, done):
    answer = client.get(f"/apiv1/track/{done}-vocals?redirect=1")
    assert (answer.status_code, answer.json["code"]) == (409, "redirect_unavailable")
    for name in (f"{done}-vocals", f"{done}-vocals?redirect=0"):
        assert client.get(f"/apiv1/track/{name}").data == Player.content("vocals")


def test_no_link_before_the_job_is_done_nor_to_a_stem_that_is_none(public, song, player):
    songhash = public.post(URL, data=song, content_type="audio/wav").json["songhash"]
    assert public.get(f"/apiv1/track/{songhash}-vocals?redirect=1").json["code"] == "job_not_done"
    player.work()
    assert public.get(f"/apiv1/track/{songhash}-flute?redirect=1").json["code"] == "stem_unknown"
    public.delete(f"/apiv1/remove/{songhash}-vocals")
    assert public.get(f"/apiv1/track/{songhash}-vocals?redirect=1").json["code"] == "track_removed"


def test_other_words_than_0_and_1_are_refused(public, done):
    answer = public.get(f"/apiv1/track/{done}-vocals?redirect=please")
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_option")


def test_an_address_with_a_path_is_refused_at_start():
    from msaas.errors import SettingsError
    from msaas.settings import Settings

    with pytest.raises(SettingsError, match="MSAAS_S3_PUBLIC_URL"):
        Settings.from_env({"MSAAS_S3_PUBLIC_URL": "https://store.example/buckets"})
