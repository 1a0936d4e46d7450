"""`msaas jobs`: shows one job's state, one's own songs, or the queue: waiting, running, dead jobs. Changes nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from msaas.cli.service import RETRIES, add_service, client_of
from msaas.cli.songs.progress import activity, waiting_text
from msaas.client import Client, Job, Queue, ServiceError
from msaas.client.names import printable

STATES = ("queued", "running", "done", "failed", "cancelled")
SHOWN = 20  # per list; --json has the whole page


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("jobs", help="state of a job, or waiting and running jobs")
    parser.add_argument("songhash", nargs="?", help="of one job; default: the whole queue")
    mine = parser.add_argument_group("one's own songs", "those posted last first; with keys, of the key's tenant")
    mine.add_argument("--mine", action="store_true", help="list them, instead of the queue")
    mine.add_argument("--state", choices=STATES, help="only jobs in this state")
    mine.add_argument("--search", metavar="TEXT", help="only songs with this text in their name or tags")
    mine.add_argument("--limit", type=_count, help=f"at most so many ({SHOWN})")
    add_service(parser)
    parser.add_argument("--json", action="store_true", help="the API's answer")
    parser.set_defaults(run=partial(run, parser))


def run(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.mine and args.songhash:
        parser.error("--mine lists songs; without it, a SONGHASH is shown")
    if not args.mine and (args.state or args.search or args.limit):
        parser.error("--state, --search and --limit need --mine")
    if args.mine:
        return list_mine(args)
    with client_of(args, retries=RETRIES) as client:
        found = client.job(args.songhash) if args.songhash else client.queue()
        if args.json:
            print(json.dumps(found.view, indent=2))
        else:
            lines = job_lines(found) if isinstance(found, Job) else queue_lines(found, partial(_known_job, client))
            print("\n".join(map(printable, lines)))
    return 0


def _known_job(client: Client, songhash: str) -> Job | None:
    """None for one without a record, such as one that was pushed by hand, or that has been deleted meanwhile."""
    try:
        return client.job(songhash)
    except ServiceError:
        return None


def list_mine(args: argparse.Namespace) -> int:
    with client_of(args, retries=RETRIES) as client:
        jobs = list(islice(client.songs(state=args.state, text=args.search), args.limit or SHOWN))
    if args.json:
        print(json.dumps([job.view for job in jobs], indent=2))
    else:
        print("\n".join(map(printable, map(song_line, jobs))) or "no songs")
    return 0


def song_line(job: Job) -> str:
    posted = f"{job.created_at:%Y-%m-%d %H:%M}" if job.created_at else ""
    minutes, seconds = divmod(round(job.duration_seconds or 0), 60)
    length = "" if job.duration_seconds is None else f"{minutes}:{seconds:02}"
    waits = f"  ({waiting_text(job)})" if job.waiting_for else ""
    state = "removed" if job.stems_removed else job.state
    return f"{posted:<16}  {state:<9}  {length:>7}  {job.songhash}  {job.name}{waits}".rstrip()


def job_lines(job: Job) -> Iterator[str]:
    percent = f", {job.progress:.0%}" if job.state == "running" else ""
    rows = {
        "songhash": job.songhash,
        "state": activity(job) + percent,
        "reason": f"{job.error.detail} ({job.error.code})" if job.error else "",
        "waiting": job.waiting_for.detail if job.waiting_for else "",
        "model": job.model or "",
        "options": ", ".join(f"{name} {_shown(value)}" for name, value in (job.options or {}).items() if value),
        "attempts": str(job.attempts),
        "music": "" if job.duration_seconds is None else f"{job.duration_seconds:.1f} s",
        "measured": ", ".join(_measured(job)),
        "stems": ", ".join(f"{stem} (removed)" if stem in job.removed else stem for stem in job.stems),
        "sent": f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC" if job.created_at else "",
        "note": job.message,
    }
    yield from (f"{name:<9} {text}" for name, text in rows.items() if text)
    yield from (f"{'warning':<9} {warning.detail} ({warning.code})" for warning in job.warnings)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{printable(text)} is not a number above 0")
    return int(text)


def _measured(job: Job) -> Iterator[str]:
    loudness, tempo, key = (job.analysis.get(name) or {} for name in ("loudness", "tempo", "key"))
    if tempo:
        yield f"{tempo['bpm']:.1f} beats a minute"
    if key:
        yield str(key["name"])
    if loudness:
        yield f"{loudness['integrated_lufs']:.1f} LUFS"


def _shown(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def queue_lines(queue: Queue, job_of: Callable[[str], Job | None]) -> Iterator[str]:
    """`job_of` is asked about the songs that are shown."""
    yield from (f"trouble: {trouble}" for trouble in queue.troubles)
    yield f"waiting {queue.total}"
    yield from _listed(queue.waiting, queue.total, job_of)
    for name, songhashes in (("in work", queue.in_work), ("dead", queue.dead)):
        yield f"{name} {len(songhashes)}"
        yield from _listed(songhashes, len(songhashes), job_of)


def queue_line(job: Job) -> str:
    """The models that a worker must offer, why none takes a song that waits, and the song's name."""
    refine = (job.options or {}).get("refine")
    refining = refine.values() if isinstance(refine, Mapping) else ()
    models = "+".join(dict.fromkeys(map(str, filter(None, (job.model, *refining)))))
    return "  ".join(filter(None, (job.songhash, models, waiting_text(job), job.name)))


def _listed(songhashes: Sequence[str], total: int, job_of: Callable[[str], Job | None]) -> Iterator[str]:
    shown = songhashes[:SHOWN]
    yield from (f"  {queue_line(job_of(songhash) or Job(songhash, 'queued'))}" for songhash in shown)
    if total > len(shown):
        yield f"  … and {total - len(shown)} more"
