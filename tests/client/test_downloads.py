"""Stems as files: resumed where a download stopped, whole, and never in place of an older file before they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from msaas.client import Client, Job, JobFailed, ServiceError, Unreachable
from msaas.client.download import CHUNK_BYTES
from tests.support.models.standin import DONE, FAILED, HASH, Answer, Api, Stem

VOCALS = f"/apiv1/track/{HASH}-vocals"
OLDER = b"older " * 100_000


def done() -> Job:
    return Job.from_view(DONE)


def test_stems_are_named_after_their_kind_and_format(client: Client, tmp_path: Path) -> None:
    paths = client.download(done(), tmp_path / "stems")
    assert paths == {stem: tmp_path / "stems" / f"{stem}.mp3" for stem in ("vocals", "drums")}
    assert paths["vocals"].read_bytes() == b"vocals!!"
    assert [path.name for path in client.download(done(), tmp_path / "one", ["drums"]).values()] == ["drums.mp3"]


def test_a_download_goes_on_where_it_stopped(api: Api, client: Client, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4000
    api.answers[VOCALS] = [Stem(data, breaks=[300_000, 500_000])]
    told: list[tuple[int, int | None]] = []
    size = client.track(
        HASH, "vocals", tmp_path / "vocals.mp3", on_progress=lambda have, all_: told.append((have, all_))
    )
    assert (tmp_path / "vocals.mp3").read_bytes() == data
    assert told[-1] == (size, size) == (len(data), len(data))
    begins = [int(asked.headers.get("range", "bytes=0-")[6:-1]) for asked in api.asked]
    assert begins[0] == 0
    assert 300_000 - CHUNK_BYTES < begins[1] <= 300_000
    assert begins[1] + 500_000 - CHUNK_BYTES < begins[2] <= begins[1] + 500_000
    assert api.asked[1].headers["if-range"] == '"one"'


def test_a_stem_that_changed_in_between_comes_whole(api: Api, client: Client, tmp_path: Path) -> None:
    api.answers[VOCALS] = [Stem(OLDER, breaks=[200_000]), Stem(b"newer " * 100, etag='"two"')]
    client.track(HASH, "vocals", tmp_path / "vocals.mp3")
    assert (tmp_path / "vocals.mp3").read_bytes() == b"newer " * 100


@pytest.mark.parametrize(
    "second",
    [
        Answer(416, b"", {"Content-Range": "bytes */600"}),
        Answer(206, b"wrong", {"Content-Range": "bytes 7-11/600"}),
        Stem(OLDER, etag=""),
    ],
    ids=["range refused", "another range", "no ranges"],
)
def test_a_server_that_cannot_go_on_is_asked_for_the_whole(
    api: Api, client: Client, tmp_path: Path, second: Answer | Stem
) -> None:
    api.answers[VOCALS] = [Stem(OLDER, breaks=[200_000]), second, Stem(OLDER)]
    client.track(HASH, "vocals", tmp_path / "vocals.mp3")
    assert (tmp_path / "vocals.mp3").read_bytes() == OLDER


def test_a_download_may_break_more_often_than_there_are_tries_as_long_as_it_gets_on(
    api: Api, tmp_path: Path, pauses: list[float]
) -> None:
    api.answers[VOCALS] = [Stem(b"x" * 1_000_000, breaks=[100_000] * 10)]
    assert Client(api.url, retries=2, sleep=pauses.append).track(HASH, "vocals", tmp_path / "vocals.mp3") == 1_000_000


def test_a_stem_that_cannot_be_fetched_leaves_the_older_one_whole_and_nothing_else(
    api: Api, tmp_path: Path, pauses: list[float]
) -> None:
    (tmp_path / "vocals.mp3").write_bytes(b"older")
    api.answers[VOCALS] = [Stem(OLDER, etag="", breaks=[100_000] * 100)]
    with pytest.raises(Unreachable):
        Client(api.url, retries=3, sleep=pauses.append).download(done(), tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("vocals.mp3", b"older")]
    assert len(api.asked) == 4  # the same first bytes again and again are no step forward


def test_a_stem_that_was_removed_is_told_and_leaves_no_file(api: Api, client: Client, tmp_path: Path) -> None:
    api.answers[VOCALS] = [Answer(404, {"code": "track_removed", "detail": "it was removed"})]
    with pytest.raises(ServiceError, match="it was removed"):
        client.download(done(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_stems_name_leads_out_of_no_folder(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a valid stem name"):
        client.download(done(), tmp_path, ["../vocals"])


def test_a_job_that_brought_out_nothing_cannot_be_downloaded(client: Client, tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="it holds no sound") as raised:
        client.download(Job.from_view(FAILED), tmp_path)
    assert raised.value.code == "not_audio"
