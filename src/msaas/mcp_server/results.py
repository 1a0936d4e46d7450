"""The records that the tools take and return. An agent gets their JSON schemas. No I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from msaas.client import Job, Model


class Problem(BaseModel):
    """A reason, with a code for programs."""

    code: str
    detail: str


class StemLevel(BaseModel, extra="forbid"):
    """How a stem is heard in a mix."""

    gain_db: Annotated[float, Field(ge=-120, le=24, description="decibels")] = 0
    pan: Annotated[float, Field(ge=-1, le=1, description="-1 is left, 1 is right")] = 0
    mute: bool = False
    solo: Annotated[bool, Field(description="stems that are not soloed are silent")] = False


class JobState(BaseModel):
    """A song that is being separated, or has been."""

    job: Annotated[str, Field(description="ID for the other tools")]
    name: Annotated[str, Field(description="what the song is called; empty if unknown")]
    state: Annotated[str, Field(description="queued, running, done, failed or cancelled")]
    ended: Annotated[bool, Field(description="done, failed or cancelled: it does not change any more")]
    stage: str
    progress: Annotated[float, Field(ge=0, le=1, description="of the current stage")]
    eta_seconds: Annotated[float | None, Field(description="seconds until it is done, if known")]
    queue_position: Annotated[int | None, Field(description="songs ahead, while it is queued")]
    known: Annotated[bool | None, Field(description="whether the service had the job before this call; else null")]
    model: str | None
    stems: Annotated[list[str], Field(description="names for fetch_stems; empty until it is done")]
    duration_seconds: float | None
    tempo_bpm: Annotated[float | None, Field(description="beats a minute, maybe half or double of what people count")]
    key: Annotated[str | None, Field(description="such as F# minor; null if no key is clearly the best")]
    loudness_lufs: Annotated[float | None, Field(description="integrated loudness of the song")]
    error: Annotated[Problem | None, Field(description="why it failed")]
    warnings: Annotated[list[Problem], Field(description="defects of the song, and changes made to it")]
    message: str

    @classmethod
    def of(cls, job: Job) -> JobState:
        return cls(
            job=job.songhash,
            name=job.name,
            state=job.state,
            ended=job.ended,
            stage=job.stage,
            progress=job.progress,
            eta_seconds=job.eta_seconds,
            queue_position=job.queue_position,
            known=job.known,
            model=job.model,
            stems=list(job.stems),
            duration_seconds=job.duration_seconds,
            tempo_bpm=(job.analysis.get("tempo") or {}).get("bpm"),
            key=(job.analysis.get("key") or {}).get("name"),
            loudness_lufs=(job.analysis.get("loudness") or {}).get("integrated_lufs"),
            error=Problem(code=job.error.code, detail=job.error.detail) if job.error else None,
            warnings=[Problem(code=one.code, detail=one.detail) for one in job.warnings],
            message=job.message,
        )


class Songs(BaseModel):
    """One's own songs, those sent last first."""

    songs: list[JobState]


class StemFile(BaseModel):
    stem: str
    path: str
    bytes: int

    @classmethod
    def of(cls, stem: str, path: Path) -> StemFile:
        return cls(stem=stem, path=str(path), bytes=path.stat().st_size)


class StemFiles(BaseModel):
    """Stems as files, aligned with each other: each has as many samples as the song."""

    job: str
    folder: str
    files: list[StemFile]


class ModelInfo(BaseModel):
    name: str
    default: bool
    stems: Annotated[list[str] | None, Field(description="null if the service does not know them yet")]
    summary: str
    licence: Annotated[str | None, Field(description="of its weights")]
    commercial: Annotated[
        bool | None, Field(description="whether the licence allows use in commerce; null: not stated")
    ]
    workers: Annotated[int, Field(description="that offer it now")]

    @classmethod
    def of(cls, model: Model) -> ModelInfo:
        return cls(
            name=model.name,
            default=model.default,
            stems=None if model.sources is None else list(model.sources),
            summary=model.summary,
            licence=model.licence,
            commercial=model.commercial,
            workers=model.workers,
        )


class Models(BaseModel):
    models: list[ModelInfo]
    formats: Annotated[list[str], Field(description="of stems")]
    limits: Annotated[dict[str, Any], Field(description="of a song: upload_bytes, duration_seconds")]
