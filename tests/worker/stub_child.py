"""A separation process that obeys its song: the song's bytes are JSON that says what to do. No model, no audio.

It runs as many songs at a time as it is sent, and says that it takes STUB_SONGS (1). At first it is
silent for STUB_START_SECONDS.

{"do": "separate", "seconds": 0.2}   four stems of known bytes, with progress every 20 ms; `kilobytes`: of that size
{"do": "starve"}   runs out of memory under a limit of its own
{"do": "die"}      kills itself        {"do": "hang"}     says nothing more, ends at nothing but a kill
{"do": "die beside another"}   kills itself if it runs another song at the same time, else separates
{"do": "lack memory"}   says that it ran out of memory
{"do": "starve beside another"}   says that it ran out of memory if it runs another song, else separates
{"do": "fail", "code": …, "retry": …}  {"do": "die once"}, {"do": "fail once"}: the first run only, `marker` remembers
"""

import errno
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

STEMS = ("drums", "bass", "other", "vocals")
MODEL = {"name": "htdemucs_mini", "sources": list(STEMS)}
running: dict[str, threading.Event] = {}  # task number ▸ whether it is to stop
writing = threading.Lock()


def send(**message):
    with writing:
        print(json.dumps(message), flush=True)


class Reporter:
    """Sends messages about one task."""

    def __init__(self, number):
        self.number, self.stopped = number, running[number]

    def __call__(self, **message):
        send(task=self.number, **message)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def starve():
    resource.setrlimit(resource.RLIMIT_AS, (200_000_000, 200_000_000))
    bytearray(400_000_000)


def stem_bytes(stem, wish):
    """What a stem of this wish holds: its name and its song's, repeated up to the size."""
    text = f"{stem} of {wish.get('name', '')}".encode()
    size = wish.get("kilobytes", 0) * 1000
    return (text * (size // len(text) + 1))[:size] if size else text


def separate(task, wish, send):
    until = time.monotonic() + wish.get("seconds", 0.1)
    total = wish.get("seconds", 0.1)
    while (left := until - time.monotonic()) > 0:
        if send.stopped.is_set():
            send(failed={"code": "cancelled", "detail": "stopped", "retry": True, "model": ""})
            return
        send(progress={"stage": "separating", "fraction": 1 - left / total})
        time.sleep(0.02)
    out = Path(task["out_dir"])
    stems = {stem: out / f"{stem}.{task['options']['format']}" for stem in STEMS}
    try:
        for stem, path in stems.items():
            path.write_bytes(stem_bytes(stem, wish))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        send(failed={"code": "scratch_full", "detail": str(error), "retry": True, "model": ""})
        return
    done = {
        "stems": {stem: str(path) for stem, path in stems.items()},
        "duration_seconds": 2.0,
        "model": MODEL,
        "refining": [],
        "peak_bytes": 1 << 20,
    }
    send(done=done | {"timings": {}})


OUT_OF_MEMORY = {"code": "out_of_memory", "detail": "too little memory", "retry": True, "model": ""}


def obey(task, send):
    wish = json.loads(Path(task["song"]).read_bytes())
    match wish["do"]:
        case "die":
            die()
        case "die once" if not Path(wish["marker"]).exists():
            Path(wish["marker"]).touch()
            die()
        case "die beside another" if len(running) > 1:
            die()
        case "starve beside another" if len(running) > 1:
            send(failed=OUT_OF_MEMORY)
        case "lack memory":
            send(failed=OUT_OF_MEMORY)
        case "fail once" if not Path(wish["marker"]).exists():
            Path(wish["marker"]).touch()
            send(failed={"code": "once", "detail": "as the song wished", "retry": True, "model": ""})
        case "starve":
            starve()
        case "hang":
            time.sleep(3600)
        case "fail":
            send(
                failed={
                    "code": wish["code"],
                    "detail": "as the song wished",
                    "retry": wish["retry"],
                    "model": wish.get("model", ""),
                }
            )
        case _:
            separate(task, wish, send)


def run(number, task):
    try:
        obey(task, Reporter(number))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    finally:
        running.pop(number, None)


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.environ.get("STUB_NOT_READY"):
        send(failed={"code": "model_unavailable", "detail": "no weights here", "retry": True, "model": ""})
        return
    time.sleep(float(os.environ.get("STUB_START_SECONDS", "0")))
    loaded = MODEL["name"]
    send(loaded=[loaded])
    found: dict[str, object] = {"songs": int(os.environ.get("STUB_SONGS", "1"))}
    if "STUB_MODELS" in os.environ:
        found["models"] = os.environ["STUB_MODELS"].split(",")
    if "STUB_FAULT" in os.environ:
        found["faults"] = {"mine": os.environ["STUB_FAULT"]}
    send(ready={"model": MODEL, "device": "cpu", "reason": "stub", **found})
    for text in sys.stdin:
        order = json.loads(text)
        if "stop" in order:
            if order["stop"] in running:
                running[order["stop"]].set()
            continue
        number, task = order["task"], order["separate"]
        if task["options"]["model"] != loaded:
            loaded = task["options"]["model"]
            send(loaded=[loaded])
        running[number] = threading.Event()
        threading.Thread(target=run, args=(number, task), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
