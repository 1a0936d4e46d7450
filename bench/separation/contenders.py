"""The programs that speed.py compares, each run in its own process.

    python -m bench.separation.contenders NAME JOB.json

A child separates one song as a whole job, from the file to four MP3s, and then one segment by itself, and prints a line
of JSON: the seconds of both, the seconds until its first segment was through, and where it put the segment's stems.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RATE = 44_100
SEGMENTS = 4  # of the model alone, after one to warm up
STARTED = time.monotonic()

Job = dict[str, str]
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def cpu_seconds() -> float:
    """Processor time of this process and of children that have ended; other work on the machine changes it little."""
    return sum(getattr(resource.getrusage(who), name) for who in _WHO for name in ("ru_utime", "ru_stime"))


def demucs_cli(job: Job) -> dict[str, Any]:
    from demucs.separate import main

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        chosen = ["--overlap", job.get("overlap", "0.25"), "--shifts", job.get("shifts", "0")]
        main(["--repo", job["repo"], "-n", job["model"], "-d", "cpu", "--mp3", "-o", out, *chosen, job["song"]])
    return {"job_seconds": time.monotonic() - began}


def demucs_api(job: Job) -> dict[str, Any]:
    from demucs.api import Separator
    from demucs.audio import save_audio

    first: list[float] = []

    def heard(state: dict[str, Any]) -> None:
        if state["state"] == "end" and not first:
            first.append(time.monotonic() - STARTED)

    separator = Separator(
        job["model"],
        repo=Path(job["repo"]),
        device="cpu",
        overlap=float(job.get("overlap", "0.25")),
        shifts=int(job.get("shifts", "0")),
        callback=heard,
    )
    began, used = time.monotonic(), cpu_seconds()
    with tempfile.TemporaryDirectory() as out:
        _, stems = separator.separate_audio_file(Path(job["song"]))
        for stem, wav in stems.items():
            save_audio(wav, Path(out) / f"{stem}.mp3", samplerate=separator.samplerate, bitrate=320)
    network = separator.model.models[0]
    took = {"job_seconds": time.monotonic() - began, "job_cpu_seconds": cpu_seconds() - used}
    return {**took, "first_seconds": first[0], **alone(network, 1, job)}


def onnxruntime(job: Job) -> dict[str, Any]:
    import onnxruntime as ort

    session = ort.InferenceSession(job["onnx"], providers=["CPUExecutionProvider"])

    def run(mix: Any, image: Any) -> Any:
        return session.run(None, {"mix": mix.numpy(), "image": image.numpy()})

    return ours(job, batch=1, choose=exported(run, "onnxruntime"))


def openvino(job: Job) -> dict[str, Any]:
    import openvino as ov

    compiled = ov.Core().compile_model(job["onnx"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(mix: Any, image: Any) -> Any:
        answer = compiled({"mix": mix.numpy(), "image": image.numpy()})
        return answer["wave"], answer["spectrum"]

    return ours(job, batch=1, choose=exported(run, "openvino"))


def exported(run: Callable[..., Any], name: str) -> Callable[..., Any]:
    """For Separator(choose=…): what lies between the spectrograms runs elsewhere."""
    import torch

    from msaas.separation.engines.engine import TorchEngine
    from msaas.separation.engines.selection import EngineChoice

    def choose(part: Any, device: Any, _precision: str) -> Any:
        network = part.module

        def forward(mix: torch.Tensor) -> torch.Tensor:
            spectrogram = network._spec(mix)
            wave, spectrum = run(mix, network._magnitude(spectrogram).contiguous())
            spectrogram = network._mask(spectrogram, torch.from_numpy(spectrum))
            return torch.from_numpy(wave) + network._ispec(spectrogram, mix.shape[-1])

        return TorchEngine(forward, device), EngineChoice(name, "fp32", None)

    return choose


def ours(job: Job, batch: int = 0, **how: Any) -> dict[str, Any]:
    from msaas.options import Options
    from msaas.separation.device import choose_device
    from msaas.separation.engines.verdicts import RememberedChoice
    from msaas.separation.pipeline import Separator
    from msaas.separation.weights.loader import load_model

    first: list[float] = []

    def heard(stage: str, fraction: float) -> None:
        if stage == "separating" and fraction > 0 and not first:
            first.append(time.monotonic() - STARTED)

    model = load_model(job["model"], repo=Path(job["repo"]), sources=[], mapped=True)
    if "choose" not in how:
        how["choose"] = RememberedChoice(Path(job["verdicts"]) if job.get("verdicts") else None)
    separator = Separator(model, choose_device("cpu").device, batch, release=True, **how)
    began, used = time.monotonic(), cpu_seconds()
    with tempfile.TemporaryDirectory() as out:
        overlap = float(job["overlap"]) if "overlap" in job else None
        options = Options(model.name, format="mp3", overlap=overlap, shifts=int(job.get("shifts", "0")))
        separator.separate_song(Path(job["song"]), Path(out), options, progress=heard)
    took, used = time.monotonic() - began, cpu_seconds() - used
    engine = separator._engines[0]
    return {
        "job_seconds": took,
        "job_cpu_seconds": used,
        "first_seconds": first[0],
        "way": separator.choices[0],
        **alone(engine.forward, separator.parallel, job),
    }


def alone(forward: Callable[..., Any], batch: int, job: Job) -> dict[str, Any]:
    """Seconds a segment, the median of some, and the stems of the first. Nothing where the job names no segment."""
    if not job["segment"]:
        return {}
    import numpy as np
    import torch

    segments = torch.from_numpy(np.load(job["segment"])).repeat(batch, 1, 1)
    seconds = []
    with torch.inference_mode():
        stems = forward(segments)
        for _ in range(SEGMENTS):
            began = time.monotonic()
            forward(segments)
            seconds.append((time.monotonic() - began) / batch)
    np.save(job["stems"], stems[:1].numpy())
    return {"segment_seconds": sorted(seconds)[SEGMENTS // 2]}


def step(
    job: Job, *, channels_last: bool, side_by_side: bool, chosen_kernels: bool = False, half: bool = False
) -> dict[str, Any]:
    import torch

    from msaas.separation.engines.engine import TorchEngine, cpu_threads
    from msaas.separation.engines.htdemucs import ChannelsLast
    from msaas.separation.engines.htdemucs.fastest import measured_kernels
    from msaas.separation.engines.parallel import ParallelSegments, default_parallel
    from msaas.separation.engines.selection import has_bf16
    from msaas.separation.weights.loader import load_model

    model, device = load_model(job["model"], repo=Path(job["repo"]), sources=[]), torch.device("cpu")
    network = model.networks[0].module
    dtype = torch.bfloat16 if half and has_bf16() else torch.float32
    kernels = {one: measured_kernels(one) for one in {dtype, torch.float32}} if chosen_kernels else {}
    engine = TorchEngine(ChannelsLast(network, device, dtype, kernels) if channels_last else network, device)
    if side_by_side:
        return alone(ParallelSegments(engine, cpu_threads()).forward, default_parallel(cpu_threads()), job)
    return alone(engine.forward, 1, job)


# What each adds to the one before it. The first is started as Demucs is, the others as our separation process is.
STEPS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "demucs' own forward": lambda job: step(job, channels_last=False, side_by_side=False),
    "memory kept": lambda job: step(job, channels_last=False, side_by_side=False),
    "channels last, fused attention": lambda job: step(job, channels_last=True, side_by_side=False),
    "segments side by side": lambda job: step(job, channels_last=True, side_by_side=True),
    "kernels chosen by timing": lambda job: step(job, channels_last=True, side_by_side=True, chosen_kernels=True),
    "bfloat16, if the CPU has it": lambda job: step(
        job, channels_last=True, side_by_side=True, chosen_kernels=True, half=True
    ),
}
CONTENDERS: dict[str, Callable[[Job], dict[str, Any]]] = {
    "demucs (command line)": demucs_cli,
    "demucs (API)": demucs_api,
    "ONNX Runtime": onnxruntime,
    "OpenVINO": openvino,
    "MSaaS fp32": lambda job: ours(job, precision="fp32"),
    "MSaaS auto": lambda job: ours(job, precision="auto"),
}

if __name__ == "__main__":
    print(json.dumps((CONTENDERS | STEPS)[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))))
