"""The tools of an agent. Each makes calls of msaas.client in a thread, with a client of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import anyio
from anyio.to_thread import run_sync
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from msaas.client import Client, ClientError, Job
from msaas.client.names import is_address
from msaas.errors import MSaaSError
from msaas.mcp_server.folder import OutsideFolder, SharedFolder
from msaas.mcp_server.results import JobState, ModelInfo, Models, Songs, StemFile, StemFiles, StemLevel

POLL_SECONDS = 0.5
MAX_FOLLOW_SECONDS = 600.0
MAX_SONGS = 200

Result = TypeVar("Result")
JobId = Annotated[str, Field(description="the `job` that separate returned")]


class Tools:
    """`make_client` makes a client of the service for each call."""

    def __init__(self, make_client: Callable[[], Client], folder: SharedFolder) -> None:
        self._make_client, self._folder = make_client, folder

    async def separate(
        self,
        song: Annotated[str, Field(description="path of an audio file in this server's folder, or an https URL")],
        model: Annotated[str | None, Field(description="from list_models; default: the service's")] = None,
        stems: Annotated[list[str] | None, Field(description="only these stems, such as vocals; default: all")] = None,
        two_stems: Annotated[
            str | None, Field(description="this stem and the rest as no_<stem>: vocals for karaoke; not with stems")
        ] = None,
        format: Literal["mp3", "flac", "wav", "m4a", "opus", "stems.m4a"] = "mp3",
        start: Annotated[float | None, Field(ge=0, description="seconds: separate only from here")] = None,
        end: Annotated[float | None, Field(gt=0, description="seconds: separate only up to here")] = None,
        refine: Annotated[
            dict[str, str] | None, Field(description="stems, and for each the model that separates it further")
        ] = None,
        quality: Annotated[
            Literal["fast", "balanced", "best"] | None, Field(description="best takes several times as long")
        ] = None,
    ) -> JobState:
        """Send a song to be separated into its stems: vocals, drums, bass and the rest.

        Returns at once with the ID of the job; call follow to wait for it, then fetch_stems. The same song with the
        same options is the same job, so sending it again is harmless and costs nothing.
        """
        options: dict[str, Any] = {
            "model": model,
            "stems": stems,
            "two_stems": two_stems,
            "format": format,
            "start": start,
            "end": end,
            "refine": refine,
            "quality": quality,
        }
        if is_address(song):
            return await self._job(lambda client: client.submit_url(song, **options))
        path = self._readable(song)
        return await self._job(lambda client: client.submit(path, **options))

    async def follow(
        self,
        job: JobId,
        context: Context,
        timeout_seconds: Annotated[
            float, Field(ge=0, le=MAX_FOLLOW_SECONDS, description="0 returns the current state at once")
        ] = 60,
    ) -> JobState:
        """Wait until a job has ended, or the time is up, and return its state; reports progress meanwhile.

        If `ended` is false in the result, the job continues: call follow again.
        """
        give_up_at = time.monotonic() + timeout_seconds
        while True:
            state = await self._job(lambda client: client.job(job))
            text = f"{state.stage or state.state}"
            await context.report_progress(1.0 if state.ended else state.progress, 1.0, text)
            if state.ended or time.monotonic() + POLL_SECONDS > give_up_at:
                return state
            await anyio.sleep(POLL_SECONDS)

    async def mix_stems(
        self,
        job: JobId,
        levels: Annotated[
            dict[str, StemLevel],
            Field(description="by stem, such as vocals; a stem that is not named is heard as it is"),
        ],
        format: Literal["mp3", "flac", "wav", "m4a", "opus"] = "mp3",
        start: Annotated[float | None, Field(ge=0, description="seconds: mix only from here")] = None,
        end: Annotated[float | None, Field(gt=0, description="seconds: mix only up to here")] = None,
    ) -> JobState:
        """Mix the stems of a song that is done into one file, with gains, pans, mutes and solos.

        Returns at once with a job of its own: call follow to wait for it, then fetch_stems, which saves its one stem,
        `mix`. Use it for karaoke with quiet vocals, a song without drums, or a louder bass.
        """
        given = {stem: level.model_dump(exclude_defaults=True) for stem, level in levels.items()}
        return await self._job(lambda client: client.mix(job, given, format=format, start=start, end=end))

    async def fetch_stems(
        self,
        job: JobId,
        folder: Annotated[str, Field(description="a folder in this server's folder, created if missing")] = "stems",
        stems: Annotated[list[str] | None, Field(description="only these; default: all stems of the job")] = None,
    ) -> StemFiles:
        """Save the stems of a job that is done as audio files, named after the song and the stem."""
        target = self._inside(folder)

        def fetch(client: Client) -> StemFiles:
            found = client.job(job)
            paths = client.download(found, target, stems, named=True)
            files = [StemFile.of(stem, path) for stem, path in paths.items()]
            return StemFiles(job=found.songhash, folder=str(target), files=files)

        return await self._call(fetch)

    async def list_songs(
        self,
        search: Annotated[str | None, Field(max_length=200, description="only songs with this in name or tags")] = None,
        state: Literal["queued", "running", "done", "failed", "cancelled"] | None = None,
        limit: Annotated[int, Field(ge=1, le=MAX_SONGS)] = 20,
    ) -> Songs:
        """List the songs that were sent to the service with this server's key, those sent last first."""

        def fetch(client: Client) -> Songs:
            found = islice(client.songs(state=state, text=search), limit)
            return Songs(songs=[JobState.of(job) for job in found])

        return await self._call(fetch)

    async def list_models(self) -> Models:
        """List the models that a song can be separated with: their stems, licence, and for whom each is."""

        def fetch(client: Client) -> Models:
            offer = client.models()
            found = [ModelInfo.of(model) for model in client.list_models()]
            return Models(models=found, formats=list(offer.get("formats", ())), limits=offer.get("limits") or {})

        return await self._call(fetch)

    async def cancel(self, job: JobId) -> JobState:
        """Stop a job that is queued or running. A job that is done stays as it is, and this is an error."""
        return await self._job(lambda client: client.cancel(job))

    # --- calls

    async def _job(self, call: Callable[[Client], Job]) -> JobState:
        return JobState.of(await self._call(call))

    async def _call(self, call: Callable[[Client], Result]) -> Result:
        """Raises ToolError with the reason, for the agent."""

        def work() -> Result:
            with self._make_client() as client:
                return call(client)

        try:
            return await run_sync(work, abandon_on_cancel=True)
        except ClientError as error:
            raise ToolError(f"{error.detail} ({error.code})") from error
        except MSaaSError as error:
            raise ToolError(error.detail) from error
        except OSError as error:
            raise ToolError(f"{error.filename or 'a file'}: {error.strerror or error}") from error

    def _inside(self, path: str) -> Path:
        try:
            return self._folder.inside(path)
        except (OutsideFolder, OSError, RuntimeError) as error:
            raise ToolError(str(error)) from error

    def _readable(self, song: str) -> Path:
        path = self._inside(song)
        if not path.is_file():
            raise ToolError(f"{song!r} is not a file in {self._folder.root}")
        return path
