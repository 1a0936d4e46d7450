"""A separation process that obeys its song: the song's bytes are JSON that says what to do. No model, no audio.

{"do": "separate", "seconds": 0.2}   four stems of known bytes, with progress every 20 ms
{"do": "die"}      kills itself        {"do": "hang"}     says nothing more, ends at nothing but a kill
{"do": "fail", "code": …, "retry": …}  {"do": "die once"} dies on the first run only, `marker` remembers
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

STEMS = ("drums", "bass", "other", "vocals")
stopped = threading.Event()
orders: list[dict] = []
arrived = threading.Semaphore(0)


def say(**message):
    print(json.dumps(message), flush=True)


def listen():
    for text in sys.stdin:
        order = json.loads(text)
        if order.get("stop"):
            stopped.set()
        else:
            stopped.clear()
            orders.append(order["separate"])
            arrived.release()
    os._exit(0)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def separate(task, wish):
    until = time.monotonic() + wish.get("seconds", 0.1)
    total = wish.get("seconds", 0.1)
    while (left := until - time.monotonic()) > 0:
        if stopped.is_set():
            say(failed={"code": "cancelled", "detail": "stopped", "retry": True})
            return
        say(progress={"stage": "separating", "fraction": 1 - left / total})
        time.sleep(0.02)
    out = Path(task["out_dir"])
    stems = {stem: out / f"{stem}.{task['options']['format']}" for stem in STEMS}
    for stem, path in stems.items():
        path.write_bytes(f"{stem} of {wish.get('name', '')}".encode())
    say(done={"stems": {stem: str(path) for stem, path in stems.items()}, "duration_seconds": 2.0, "timings": {}})


def obey(task):
    wish = json.loads(Path(task["song"]).read_bytes())
    match wish["do"]:
        case "die":
            die()
        case "die once" if not Path(wish["marker"]).exists():
            Path(wish["marker"]).touch()
            die()
        case "hang":
            time.sleep(3600)
        case "fail":
            say(failed={"code": wish["code"], "detail": "as the song wished", "retry": wish["retry"]})
        case _:
            separate(task, wish)


def main():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=listen, daemon=True).start()
    if os.environ.get("STUB_NOT_READY"):
        say(failed={"code": "model_unavailable", "detail": "no weights here", "retry": True})
        return
    say(ready={"model": {"name": "htdemucs_mini", "sources": list(STEMS)}, "device": "cpu", "reason": "stub"})
    while True:
        arrived.acquire()
        obey(orders.pop(0))


main()
