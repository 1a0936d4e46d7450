"""Mixes by the client, the command line and an agent, with the API as it runs and a renderer beside it."""

from __future__ import annotations

import json
import math

import anyio
import pytest
import soundfile
from mcp import Client as AgentClient

from msaas import cli
from msaas.client import Client, ServiceError
from msaas.mcp_server.server import build_server
from tests.support.api_process import real_api, url

__all__ = ["real_api", "url"]


@pytest.fixture
def song(url, make_song, renderer):
    """A song that is done, while mixes are rendered."""
    renderer.start()
    yield make_song("bass", "drums", "vocals")
    renderer.stop()


def test_the_client_gets_a_mix_as_a_file(url, song, tmp_path):
    with Client(url) as client:
        mix = client.mix(song.songhash, {"drums": -math.inf, "vocals": {"gain_db": -6, "pan": 0.5}}, format="flac")
        mix = client.wait(mix)
        assert mix.mix["levels"] == {"bass": {"gain_db": 0, "pan": 0}, "vocals": {"gain_db": -6, "pan": 0.5}}
        path = client.download(mix, tmp_path)["mix"]
        assert path == tmp_path / "mix.flac"
        assert soundfile.info(path).frames == song.samples
        again = client.mix(
            song.songhash, {"drums": {"mute": True}, "vocals": {"gain_db": -6, "pan": 0.5}}, format="flac"
        )
        assert (again.songhash, again.state) == (mix.songhash, "done")
        with pytest.raises(ServiceError) as error:
            client.mix(song.songhash, {"guitar": 1})
        assert error.value.code == "invalid_option"


def test_the_command_saves_a_mix(url, song, tmp_path, capsys):
    command = ["mix", song.songhash, "--gain", "bass=-inf", "--pan", "vocals=-1", "--mute", "drums", "--mono"]
    command += ["--format", "wav", "--bit-depth", "16", "--end", "0:00.5", "-o", str(tmp_path / "out"), "--url", url]
    assert cli.main(command) == 0
    [path] = (tmp_path / "out").glob("*.wav")
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    info = soundfile.info(path)
    assert (info.frames, info.channels, info.subtype) == (22_050, 1, "PCM_16")
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mix"]["levels"] == {"vocals": {"gain_db": 0, "pan": -1}}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(("--gain", "bass"), "bass is not STEM=NUMBER"), (("--pan", "=1"), "=1 is not STEM=NUMBER")],
)
def test_a_level_that_is_none_is_refused(arguments, reason, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["mix", "x", *arguments])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_what_the_service_refuses_is_one_line(url, song, capsys):
    assert cli.main(["mix", song.songhash, "--solo", "guitar", "--url", url]) == 2
    error = capsys.readouterr().err
    assert error.startswith("msaas: levels names 'guitar'")
    assert error.count("\n") == 1


def test_an_agent_mixes_stems(url, song, tmp_path):
    async def session() -> None:
        async with AgentClient(build_server(lambda: Client(url), tmp_path)) as agent:
            levels = {"vocals": {"gain_db": -12}, "drums": {"mute": True}}
            made = await agent.call_tool("mix_stems", {"job": song.songhash, "levels": levels, "format": "wav"})
            assert not made.is_error, made.content
            job = made.structured_content["job"]
            ended = (await agent.call_tool("follow", {"job": job})).structured_content
            assert (ended["state"], ended["stems"]) == ("done", ["mix"])
            saved = (await agent.call_tool("fetch_stems", {"job": job, "folder": "."})).structured_content
            assert [one["stem"] for one in saved["files"]] == ["mix"]
            wrong = await agent.call_tool("mix_stems", {"job": song.songhash, "levels": {"vocals": {"volume": 1}}})
            assert wrong.is_error

    anyio.run(session)
