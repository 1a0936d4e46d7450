"""Base64 and the JSON around it, against Python's own decoders, for any bytes and any JSON."""

import base64
import binascii
import io
import json
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from msaas.errors import BadRequest
from msaas.web.uploads import json_body
from msaas.web.uploads.base64_stream import Base64Decoder
from msaas.web.uploads.json_body import decode_song, parse_members, song_start, split_body

CODES = {"bad_json", "bad_base64", "missing_mp3"}
# other programs on the machine are no fault of the code's
patient = settings(deadline=None)
PIECES = st.integers(1, 9)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("mp3"), inner, max_size=4),
    max_leaves=12,
)


def decode(text: bytes, piece_bytes: int = 7) -> bytes:
    decoder = Base64Decoder()
    pieces = [text[i : i + piece_bytes] for i in range(0, len(text), piece_bytes)]
    decoded = b"".join(decoder.feed(piece) for piece in pieces)
    decoder.finish()
    return decoded


def read(body: bytes) -> tuple[dict[str, object], bytes]:
    file, song = io.BytesIO(body), io.BytesIO()
    members, where = split_body(file)
    decode_song(file, where, song.write)
    return members, song.getvalue()


@patient
@given(st.binary(max_size=200), PIECES)
def test_any_bytes_come_back_whatever_the_pieces(data, piece_bytes):
    assert decode(base64.b64encode(data), piece_bytes) == data


@patient
@given(st.binary(max_size=200), PIECES, st.integers(1, 80), st.sampled_from(["\n", "\r\n"]))
def test_any_line_wrapping_is_read_through(data, piece_bytes, width, line_end):
    text = base64.b64encode(data).decode()
    wrapped = line_end.join(text[i : i + width] for i in range(0, len(text), width)) + line_end
    assert decode(json.dumps(wrapped)[1:-1].encode(), piece_bytes) == data


@patient
@given(st.binary(max_size=60), PIECES, st.data())
def test_any_json_spelling_of_the_text_is_the_same_text(data, piece_bytes, draw):
    spelt = ""
    for character in base64.b64encode(data).decode():
        plain = ["\\/", "/"] if character == "/" else [character]
        spelt += draw.draw(st.sampled_from([*plain, f"\\u{ord(character):04x}", f"\\u{ord(character):04X}"]))
    assert json.loads(f'"{spelt}"') == base64.b64encode(data).decode()
    assert decode(spelt.encode(), piece_bytes) == data


def whole(text: bytes) -> bytes | None:
    """The same by Python's own decoders, in one go; None where they refuse."""
    try:
        plain = json.loads(f'"{text.decode()}"').encode("ascii").translate(None, b"\r\n")
        decoded = binascii.a2b_base64(plain, strict_mode=True)
        # even strict, it takes padding that pads nothing: QUJD= and QUJD====
        return None if len(plain) % 4 or plain.endswith(b"===") else decoded
    except ValueError:
        return None


@patient
@given(st.binary(max_size=60) | st.text(alphabet='QUJD=\\nru/0"', max_size=40).map(str.encode), PIECES)
@example(b"QQ==QQ==", 4)
@example(b"QQ==\\n=", 4)
@example(b"QQ==\\n", 4)
@example(b"\\", 1)
@example(b"\\\\n", 2)
@example(b"\\\\u0051", 3)
@example(b"\\u00", 9)
@example(b"QQ=Q", 9)
@example(b"////=", 1)
@example(b"QUJD====", 9)
@example(b"QUJD====", 4)
def test_corrupt_text_is_refused_and_only_corrupt_text(text, piece_bytes):
    expected = whole(text)
    if expected is not None:
        assert decode(text, piece_bytes) == expected
        return
    with pytest.raises(BadRequest) as caught:
        decode(text, piece_bytes)
    assert caught.value.code in CODES


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("QUJD-_==", "URL-safe"),
        ("data:audio/mpeg;base64,QUJD", "data: URL"),
        ("QUJ", "truncated"),
        ("QUI", "padding"),
        ("QQ==QUJD", "padding"),
        ("QU JD", "base64"),
        ("QUJDé===", "base64"),
        ("QU\\qD", "escape"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_text(text, hint):
    with pytest.raises(BadRequest, match=hint) as caught:
        decode(text.encode(), 100)
    assert caught.value.code == "bad_base64"


def test_a_raw_line_break_is_refused_with_the_option_that_avoids_it():
    with pytest.raises(BadRequest, match="base64 -w0") as caught:
        read(b'{"mp3": "QUJD\nQUJD"}')
    assert caught.value.code == "bad_json"


# --- the JSON around it


@patient
@given(
    st.dictionaries(st.text(), json_values, max_size=6),
    st.binary(max_size=100),
    st.integers(0, 6),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
@example({"a\\": "\\", 'b"': '"mp3": "QQ=="'}, b"x", 2, False, None)
@example({"a": {"mp3": "QQ=="}, "b": ["{", '"mp3":"'], "}": "]"}, b"x", 4, True, 1)
def test_a_song_is_found_among_any_other_members(others, data, place, ascii_only, indent):
    others.pop("mp3", None)
    members = list(others.items())
    members.insert(place, ("mp3", base64.b64encode(data).decode()))
    body = json.dumps(dict(members), ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(body.decode())
    except UnicodeDecodeError:  # lone surrogates are no UTF-8
        return
    assert read(body) == ({k: v for k, v in expected.items() if k != "mp3"}, data)


@patient
@given(json_values)
def test_any_json_without_a_song_is_refused_by_name(value):
    if isinstance(value, dict):
        value.pop("mp3", None)
    with pytest.raises(BadRequest) as caught:
        read(json.dumps(value).encode())
    assert caught.value.code == ("missing_mp3" if isinstance(value, dict) else "bad_json")


@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:\\mp3 Q=', max_size=40).map(str.encode))
@example(b'{"mp3":"QQ=="')
@example(b'["mp3":"QQ=="]')
@example(b'{"x":["mp3":"QQ=="]}')
@example(b'{"mp3":"QQ=="}{"mp3":"QQ=="}')
@example(b'{{"mp3":"QQ=="}')
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_either_what_json_says_or_a_bad_request(body):
    try:
        members, song = read(body)
    except BadRequest as error:
        assert error.code in CODES
    else:
        expected = json.loads(body.decode("utf-8-sig"))
        assert base64.b64decode(expected.pop("mp3")) == song
        assert members == expected


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"song", "bad_json"),
        (b"[]", "bad_json"),
        (b'"mp3"', "bad_json"),
        (b'{"mp3": "QUJD"', "bad_json"),
        (b'{"mp3": "QUJD', "bad_json"),
        (b'{"mp3": "QUJD"} and more', "bad_json"),
        (b'{"mp3": "QUJD", "x": NaN}', "bad_json"),
        (b'{"mp3": "QUJD", "mp3": "QUJD"}', "bad_json"),
        (b'{"mp3": "QUJD", "x": 1, "x": 2}', "bad_json"),
        (b'{"mp3": "QUJD", "x": ' + b"9" * 5000 + b"}", "bad_json"),
        (b"[" * 900_000, "bad_json"),
        ('{"mp3": "QUJD"}'.encode("utf-16"), "bad_json"),
        (b'{"mp3": "QUJD", "x": "\xff"}', "bad_json"),
        (b'{"mp3": "QUJD", "x": "' + b"x" * 1_000_001 + b'"}', "bad_json"),
        (b'{"x": "' + b"x" * 1_000_001 + b'", "mp3": "QUJD"}', "missing_mp3"),
        (b"{}", "missing_mp3"),
        (b'{"mp3": null}', "missing_mp3"),
        (b'{"MP3": "QUJD"}', "missing_mp3"),
        (b'{"a": {"mp3": "QUJD"}}', "missing_mp3"),
        (b'{"mp3": ["QUJD"]}', "bad_base64"),
        (b'{"mp3": 5}', "bad_base64"),
    ],
)
def test_each_way_to_be_wrong_has_its_code(body, code):
    with pytest.raises(BadRequest) as caught:
        read(body)
    assert caught.value.code == code


def test_a_byte_order_mark_and_an_escaped_key_are_json_too():
    assert read(b'\xef\xbb\xbf{"\\u006dp\\u0033" : "QUJD"}') == ({}, b"ABC")


def test_a_string_may_end_or_be_escaped_on_any_windows_edge(monkeypatch):
    for window in range(2, 12):
        monkeypatch.setattr(json_body, "WINDOW_BYTES", window)
        assert read(b'{"mp3": "QUJD\\nQU\\/D\\u0051UJD", "x": "\\""}') == ({"x": '"'}, b"ABCAO\xc3ABC")


def test_memory_does_not_grow_with_the_song(tmp_path):
    def peak(megabytes: int) -> int:
        (tmp_path / "body").write_bytes(b'{"a": 1, "mp3": "' + b"QUJD\\n" * (megabytes * 180_000) + b'"}')
        with (tmp_path / "body").open("rb") as body, (tmp_path / "song").open("wb") as song:
            tracemalloc.start()
            _, where = split_body(body)
            decode_song(body, where, song.write)
            used = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return used

    small, large = peak(4), peak(16)
    assert large < small * 1.2
    assert large < 12_000_000


@patient
@given(st.text(max_size=30))
def test_members_are_what_json_makes_of_them(text):
    assert parse_members(json.dumps({"a": text}).encode()) == {"a": text}


def test_no_song_begins_in_a_string_that_does_not_end():
    assert song_start(b'{"x": "never closed, "mp3": "QUJD"') is None
    assert song_start(b'{"x": "closed", "mp3": "QUJD"') == len('{"x": "closed", "mp3": "')
