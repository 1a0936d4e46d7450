"""Hostile headers and damaged records: each gets a clear refusal, and no upload or service is lost by it."""

from __future__ import annotations

import pytest

from tests.support.api import problem
from tests.uploads.conftest import BYTES, PATH, TUS, metadata

LENGTHS = ["", "-1", "+1", "1.5", "1e3", "0x10", "NaN", "٣", "9" * 17, "9" * 5000, "9007199254740992", " 1", "1,1"]


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths_and_offsets_are_plain_numbers(tus, client, length):
    headers = TUS | {"Upload-Length": length.encode().decode("latin-1")}
    problem(client.post(PATH, headers=headers), 400, "bad_upload_header")
    url = tus.url(10)
    headers = TUS | {"Upload-Offset": length.encode().decode("latin-1"), "Content-Type": BYTES}
    problem(client.patch(url, data=b"x", headers=headers), 400, "bad_upload_header")
    assert tus.offset(url) == 0


def test_missing_headers_are_named(tus, client):
    assert "Upload-Length" in problem(client.post(PATH, headers=TUS), 400, "bad_upload_header")
    headers = TUS | {"Content-Type": BYTES}
    assert "Upload-Offset" in problem(client.patch(tus.url(10), headers=headers), 400, "bad_upload_header")
    deferred = client.post(PATH, headers=TUS | {"Upload-Defer-Length": "1"})
    problem(deferred, 400, "bad_upload_header")


@pytest.mark.parametrize(
    "given",
    [
        "x !!!",
        "x YQ",
        "x YQ==,x Yg==",
        "x YQ==,",
        ",",
        "x  YQ==",
        "a b c",
        "ключ YQ==",
        "x " + "YWFh" * 3000,
        "x\tYQ==",
    ],
)
def test_metadata_that_is_not_as_the_protocol_says_is_refused(tus, given):
    answer = tus.create(10, Upload_Metadata=given.encode().decode("latin-1"))
    assert "Upload-Metadata" in problem(answer, 400, "bad_upload_header")


@pytest.mark.parametrize(
    "filename",
    [
        "../../etc/passwd",
        "a\r\nX-Injected: 1",
        "\x00\x1b[31m",
        "\ud800".encode("utf-8", "replace").decode(),
        "x" * 3000,
    ],
)
def test_a_hostile_name_in_the_metadata_is_a_harmless_name_of_the_song(tus, song, filename):
    given = metadata(filename=filename)
    url = tus.url(len(song), Upload_Metadata=given)
    head = tus.head(url)
    assert head.headers["Upload-Metadata"] == given
    assert "X-Injected" not in head.headers
    tus.append(url, 0, song)
    name = tus.submit(url).json["name"] or ""
    assert "/" not in name
    assert name.isprintable()
    assert len(name) <= 255


@pytest.mark.parametrize(
    "given",
    ["", "sha1", "md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1 !!!", "sha1 YQ==", "SHA1 " + "A" * 27 + "=", "sha256 YWFh"],
)
def test_a_checksum_that_cannot_be_checked_is_refused(tus, given):
    url = tus.url(10)
    problem(tus.append(url, 0, b"x", Upload_Checksum=given), 400, "bad_upload_header")
    problem(tus.create(10, Upload_Checksum=given), 400, "bad_upload_header")
    assert tus.offset(url) == 0


@pytest.mark.parametrize("kind", ["application/octet-stream", "audio/mpeg", "text/plain", ""])
def test_another_kind_of_body_is_refused(tus, kind):
    url = tus.url(10)
    problem(tus.append(url, 0, b"x", Content_Type=kind), 415, "unsupported_body")
    problem(tus.create(10, b"x", Content_Type=kind), 415, "unsupported_body")
    assert tus.offset(url) == 0


@pytest.mark.parametrize("name", ["x", "0" * 31, "0" * 33, "G" * 32, "../separate", "%00", "0" * 5000, "*", "a:chunks"])
def test_what_is_no_id_is_an_unknown_upload(tus, name):
    assert tus.head(f"{PATH}/{name}").status_code == 404
    assert tus.append(f"{PATH}/{name}", 0, b"x").status_code == 404
    assert tus.remove(f"{PATH}/{name}").status_code == 404
    assert tus.submit(name).status_code == 404


@pytest.mark.parametrize("field", ["size", "offset", "expires_ms", "account", "tenant", "metadata", "lock", "songhash"])
@pytest.mark.parametrize("value", ["-1", "9" * 400, "../x\r\ny: \x1b\u00e9", "x" * 100_000])
def test_a_damaged_record_is_an_unknown_upload_or_harmless(tus, song, redis, field, value):
    url, other = tus.create(len(song), song[:-1]).headers["Location"], tus.create(len(song), song).headers["Location"]
    redis.hset(f"upload:{url.rpartition('/')[2]}", field, value)
    assert tus.head(url).status_code in (200, 404)
    assert tus.append(url, len(song) - 1, song[-1:]).status_code in (204, 404, 409, 413, 423)
    assert tus.submit(url).status_code in (202, 404, 409)
    assert tus.remove(url).status_code in (204, 404)
    assert tus.submit(other).status_code in (200, 202)


@pytest.mark.parametrize("overwrite", ["string", "list"])
@pytest.mark.parametrize("key", ["upload:{}", "upload:{}:chunks", "uploads:address 127.0.0.1"])
def test_a_key_of_another_type_breaks_no_other_upload(tus, song, redis, key, overwrite):
    url, other = tus.create(len(song), song[:-1]).headers["Location"], tus.create(len(song), song).headers["Location"]
    name = key.format(url.rpartition("/")[2])
    redis.delete(name)
    redis.set(name, "junk") if overwrite == "string" else redis.rpush(name, "junk")
    assert tus.head(url).status_code in (200, 404)
    assert tus.append(url, len(song) - 1, song[-1:]).status_code in (204, 404)
    assert tus.submit(url).status_code in (202, 404)
    assert tus.create(10).status_code == 201
    assert tus.submit(other).status_code in (200, 202)
    assert tus.remove(url).status_code in (204, 404)


def test_chunks_that_are_gone_from_the_store_are_a_stated_reason(tus, song, storage):
    url = tus.create(len(song), song).headers["Location"]
    storage.empty()
    problem(tus.submit(url), 404, "object_missing")
    assert tus.create(len(song), song).status_code == 201, "the next upload is taken"
