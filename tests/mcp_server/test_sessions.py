"""An agent's session, by the protocol's own client: over standard input and output, and over streamable HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
from mcp import Client, StdioServerParameters

from msaas.cli import main
from msaas.client import Client as ServiceClient
from msaas.local.servers import free_port
from msaas.mcp_server.server import build_server
from tests.support.api import STEMS, song_bytes
from tests.support.environment import BUSY_SECONDS
from tests.support.song_server import SongServer, serving_song

Session = Callable[[Client], Awaitable[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    folder.mkdir()
    (folder / "a song.wav").write_bytes(song_bytes())
    (folder / "letter.txt").write_text("Dear Sir or Madam, " * 100)
    (tmp_path / "secret.wav").write_bytes(song_bytes(hertz=880))
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    return folder


@pytest.fixture
def talk_by_stdio(url: str, folder: Path) -> Callable[[Session], None]:
    """Runs a session with `msaas mcp` as a process that talks over standard input and output."""

    def run(session: Session) -> None:
        async def main() -> None:
            command = ["-P", "-m", "msaas.cli", "mcp", "--url", url, "--folder", str(folder)]
            async with Client(StdioServerParameters(command=sys.executable, args=command)) as client:
                await session(client)

        anyio.run(main)

    return run


@pytest.fixture
def talk(url: str, folder: Path) -> Callable[[Session], None]:
    """Runs a session with the server in this process."""

    def run(session: Session) -> None:
        async def main() -> None:
            async with Client(build_server(lambda: ServiceClient(url), folder)) as client:
                await session(client)

        anyio.run(main)

    return run


async def result(client: Client, tool: str, **arguments: Any) -> Any:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    return str(answer.content[0].text)  # type: ignore[union-attr]


def test_an_agent_goes_from_a_file_to_its_stems(talk_by_stdio: Any, worker: None, folder: Path) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def session(client: Client) -> None:
        assert client.server_info is not None
        assert client.server_info.name == "msaas"
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"separate", "follow", "mix_stems", "fetch_stems", "list_songs", "list_models", "cancel"}
        for tool in tools.values():
            assert tool.description
            assert tool.output_schema
            assert tool.annotations
        models = await result(client, "list_models")
        assert [model["name"] for model in models["models"] if model["default"]] == ["htdemucs_mini"]
        assert models["limits"]["upload_bytes"] == 200_000_000
        sent = await result(client, "separate", song="a song.wav", format="flac")
        assert sent["known"] is False
        answer = await client.call_tool("follow", {"job": sent["job"]}, progress_callback=on_progress)
        done = answer.structured_content or {}
        assert (done["state"], done["ended"], done["stems"]) == ("done", True, sorted(STEMS))
        saved = await result(client, "fetch_stems", job=sent["job"], folder="out")
        assert {one["stem"]: Path(one["path"]).name for one in saved["files"]} == {
            stem: f"a song ({stem.title()}).flac" for stem in STEMS
        }
        for one in saved["files"]:
            assert Path(one["path"]).stat().st_size == one["bytes"] == len(one["stem"]) * 60_000
            assert Path(one["path"]).parent == folder / "out"
        again = await result(client, "separate", song=str(folder / "a song.wav"), format="flac")
        assert (again["job"], again["known"], again["ended"]) == (sent["job"], True, True)
        listed = await result(client, "list_songs", search="A Song", state="done")
        assert [(one["job"], one["name"]) for one in listed["songs"]] == [(sent["job"], "a song")]
        assert (await result(client, "list_songs", search="another"))["songs"] == []

    talk_by_stdio(session)
    assert told
    assert told[-1][:2] == (1.0, 1.0)


def test_an_agent_has_a_song_fetched_by_its_address(talk: Any, worker: None) -> None:
    async def session(client: Client) -> None:
        with serving_song(SongServer(song_bytes(hertz=700))) as origin:
            sent = await result(client, "separate", song=origin.url, two_stems="vocals")
            done = await result(client, "follow", job=sent["job"])
            assert (done["state"], done["job"] != sent["job"]) == ("done", True)

    talk(session)


def test_an_agent_is_told_why_a_call_fails(talk: Any, folder: Path) -> None:
    """Without a worker: what is queued stays so."""

    async def session(client: Client) -> None:
        assert "(not_audio)" in await refusal(client, "separate", song="letter.txt")
        assert "no stem" in await refusal(client, "separate", song="a song.wav", stems=["tuba"])
        assert "not public" in await refusal(client, "separate", song="http://10.0.0.1/song.wav")
        assert "speed" in await refusal(client, "follow", job="x", speed=2)
        assert "(job_unknown)" in await refusal(client, "follow", job="00000000-0000-0000-0000-000000000000")
        queued = await result(client, "separate", song="a song.wav")
        still = await result(client, "follow", job=queued["job"], timeout_seconds=0)
        assert (still["state"], still["ended"]) == ("queued", False)
        assert "(job_queued)" in await refusal(client, "fetch_stems", job=queued["job"])
        assert (await result(client, "cancel", job=queued["job"]))["state"] == "cancelled"

    talk(session)


def test_an_agent_stays_in_its_folder(talk: Any, folder: Path, tmp_path: Path) -> None:
    async def session(client: Client) -> None:
        for song in ("../secret.wav", str(tmp_path / "secret.wav"), "link.wav", "/etc/passwd", "a\0b"):
            assert "outside" in (text := await refusal(client, "separate", song=song)) or "NUL" in text, song
        for song in ("missing.wav", ".", ""):
            assert "is not a file" in await refusal(client, "separate", song=song)
        for target in ("..", "../out", "/tmp/out", "~"):  # noqa: S108 - it is refused
            job = "00000000-0000-0000-0000-000000000000"
            assert "outside" in await refusal(client, "fetch_stems", job=job, folder=target), target

    talk(session)


# --- over HTTP


@pytest.fixture
def http_url(url: str, folder: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-P", "-m", "msaas.cli", "mcp", "--url", url, "--folder", str(folder)]
    log = (tmp_path / "mcp.log").open("wb")
    process = subprocess.Popen([*command, "--http", f"127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 4 * BUSY_SECONDS  # it imports much
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/", timeout=60)
                break
            except requests.ConnectionError:
                alive = process.poll() is None and time.monotonic() < deadline
                assert alive, (tmp_path / "mcp.log").read_text()
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(60)
        log.close()


def test_the_same_over_http_for_several_agents_at_once_and_for_no_other_sites_page(http_url: str, worker: None) -> None:
    async def agent(done: list[str]) -> None:
        async with Client(http_url) as client:
            sent = await result(client, "separate", song="a song.wav")
            done.append((await result(client, "follow", job=sent["job"]))["state"])

    async def main() -> list[str]:
        done: list[str] = []
        async with anyio.create_task_group() as agents:
            for _ in range(3):
                agents.start_soon(agent, done)
        return done

    assert anyio.run(main) == ["done"] * 3
    refuses_other_sites(http_url)


def refuses_other_sites(http_url: str) -> None:
    """Pages that come by a name that resolves to this machine (DNS rebinding), or by a request across origins."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accept = {"Accept": "application/json, text/event-stream"}
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        answer = requests.post(http_url, json=call, headers=accept | headers, timeout=60)
        assert answer.status_code in (403, 421), headers


@pytest.mark.parametrize("address", ["0.0.0.0:5001", "192.168.1.2:5001", "[::]:5001", "example.org:5001", "5001x", ""])
def test_it_listens_on_this_machine_only(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    from msaas import cli

    assert cli.main(["mcp", "--http", address or ":"]) == 2
    assert "127.0.0.1" in capsys.readouterr().err


def test_a_folder_that_is_missing_is_reported_at_the_start(url: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["mcp", "--url", url, "--folder", str(tmp_path / "nosuchfolder")]) == 2
    assert f"the folder {tmp_path / 'nosuchfolder'} does not exist; expected: songs" in capsys.readouterr().err
