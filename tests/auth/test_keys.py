"""Keys as the setting spells them and as the command makes them, and tickets: pure functions, no servers."""

import hashlib
import io
import json

import pytest

from msaas import cli
from msaas.auth.keys import find_key, hashed, new_key
from msaas.auth.tickets import SECONDS, ticket_for, ticket_holder
from msaas.errors import SettingsError
from msaas.jobs import songhash
from msaas.options import Options
from msaas.settings import Settings
from msaas.settings.api_keys import parse_keys
from msaas.settings.origins import parse_origins

DIGEST = hashlib.sha256(b"one").hexdigest()
OTHER = hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("parted", [",", " ", "\n", ",\n  ", " , "])
def test_keys_are_parted_by_commas_spaces_and_line_ends(parted):
    keys = parse_keys(f"\nanna:use:sha256={DIGEST}{parted}ben:read+admin:sha256={OTHER}\n")
    assert [(key.name, key.scopes) for key in keys] == [
        ("anna", frozenset({"use"})),
        ("ben", frozenset({"read", "admin"})),
    ]


def test_no_setting_is_no_key():
    assert parse_keys("") == () == Settings.from_env({}).api_keys


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n", "has no key"),
        (" , ", "has no key"),
        (DIGEST, "key 1"),
        (f"anna:use:{DIGEST}", "anna.*sha256="),
        (f"anna:use:sha256={DIGEST[:-1]}", "anna.*64 hex"),
        (f"anna:use:sha256={DIGEST.upper()}", "anna.*64 hex"),
        (f"anna:write:sha256={DIGEST}", "read, use, admin"),
        (f"anna::sha256={DIGEST}", "read, use, admin"),
        (f":use:sha256={DIGEST}", "key 1 has an invalid name"),
        (f"a/b:use:sha256={DIGEST}", "key 1 has an invalid name"),
        (f"anna:use:sha256={DIGEST} ben:use:sha256={DIGEST}", "twice"),
        (f"anna:use:sha256={DIGEST} ben:use", "key 2"),
    ],
)
def test_a_wrong_line_is_refused_by_its_place_and_no_digest_is_shown(text, why):
    with pytest.raises(SettingsError, match=why) as refused:
        Settings.from_env({"MSAAS_API_KEYS": text})
    assert "MSAAS_API_KEYS" in str(refused.value)
    assert DIGEST[:-1] not in str(refused.value)


def test_a_key_is_found_by_itself_and_by_nothing_else():
    text, key = new_key("anna", ["use"])
    held = [*parse_keys(f"ben:use:sha256={DIGEST}"), key]
    assert find_key(held, text) is key
    for wrong in ("", text[:-1], text + "x", text.upper(), key.digest, key.line):
        assert find_key(held, wrong) is None


def test_scopes_cover_those_below_them():
    covered = {scope: hashed("a", [scope], new_key("a", ["use"])[0]) for scope in ("read", "use", "admin")}
    may = {scope: [asked for asked in ("read", "use", "admin") if key.may(asked)] for scope, key in covered.items()}
    assert may == {"read": ["read"], "use": ["read", "use"], "admin": ["read", "use", "admin"]}


def test_no_digest_is_shown_where_settings_are_logged():
    settings = Settings.from_env({"MSAAS_API_KEYS": f"anna:use:sha256={DIGEST}"})
    assert DIGEST not in repr(settings.api_keys)


# --- the command


def test_a_new_key_is_printed_with_its_line(capsys):
    assert cli.main(["keys", "new", "anna", "--scopes", "read,use"]) == 0
    text, line = capsys.readouterr().out.splitlines()
    [key] = parse_keys(line)
    assert text.startswith("msaas_") and len(text) >= 48
    assert find_key([key], text) == key
    assert (key.name, key.scopes) == ("anna", frozenset({"read", "use"}))


def test_two_new_keys_differ():
    assert new_key("a", ["use"])[0] != new_key("a", ["use"])[0]


def test_an_own_key_is_hashed_and_not_repeated(capsys, monkeypatch):
    own = "correct-horse-battery-staple-2981-xyz"
    monkeypatch.setattr("sys.stdin", io.StringIO(own + "\n"))
    assert cli.main(["keys", "hash", "anna"]) == 0
    out, err = capsys.readouterr()
    assert find_key(parse_keys(out.strip()), own)
    assert own not in out + err


@pytest.mark.parametrize("own", ["", "short", "a" * 64, "with spaces in it, and otherwise long enough"])
def test_a_key_that_can_be_guessed_is_refused(own, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(own + "\n"))
    assert cli.main(["keys", "hash", "anna"]) == 2
    assert not capsys.readouterr().out


@pytest.mark.parametrize("asked", [["a b"], ["anna", "--scopes", "write"], ["anna", "--scopes", ""], [""]])
def test_a_key_that_the_setting_would_refuse_is_not_made(asked, capsys):
    assert cli.main(["keys", "new", *asked]) == 2
    assert not capsys.readouterr().out


# --- tenants


def test_each_tenant_has_songhashes_of_its_own_and_without_one_they_are_as_ever():
    options = Options.parse({}, default_model="htdemucs", allowed=("htdemucs",))
    assert songhash("ab" * 32, options) == songhash("ab" * 32, options, "") == "d15ec45f-b692-5420-aab0-597906dea402"
    assert len({songhash("ab" * 32, options, tenant) for tenant in ("", "anna", "ben", "Anna")}) == 4


# --- tickets

PATH = "/apiv1/track/00000000-0000-5000-8000-000000000001-vocals"


def test_a_ticket_is_good_for_one_path_and_five_minutes():
    _, key = new_key("anna", ["use"])
    ticket = ticket_for(key, PATH, 1000)
    for now, good in ((1000, True), (1000 + SECONDS, True), (1001 + SECONDS, False), (900, False)):
        assert (ticket_holder([key], ticket, PATH, now) is key) == good
    assert ticket_holder([key], ticket, PATH + "x", 1000) is None


def test_a_forged_ticket_opens_nothing():
    _, key = new_key("anna", ["use"])
    _, other = new_key("anna", ["use"])
    ticket = ticket_for(key, PATH, 1000)
    expires, _, signature = ticket.partition(".")
    forged = [
        f"{int(expires) + 1}.{signature}",
        f"{expires}.",
        expires,
        "",
        ".",
        f"{expires}.\u2603",
        "1e3." + signature,
    ]
    assert all(ticket_holder([key], one, PATH, 1000) is None for one in forged)
    assert ticket_holder([other], ticket, PATH, 1000) is None  # its key was taken away
    assert ticket_holder([other, key], ticket, PATH, 1000) is key


def test_origins_are_checked():
    assert parse_origins("https://a.example, http://localhost:3000") == {"https://a.example", "http://localhost:3000"}
    for wrong in ("a.example", "https://a.example/", "https://a.example/x", "ftp://a", "null", "https://"):
        with pytest.raises(ValueError, match="origin"):
            parse_origins(wrong)


def test_json_of_a_job_tells_no_tenant(ask, annas):
    assert "anna" not in json.dumps(ask("anna", "get", f"/apiv1/jobs/{annas}").json)
