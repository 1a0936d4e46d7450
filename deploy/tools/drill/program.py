"""Plays the faults one after the other and prints the table."""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time

from deploy.tools.drill.cluster import Cluster
from deploy.tools.drill.faults import FAULTS, NEED_POWER
from deploy.tools.drill.records import HEAD, DrillError, Plan, Row, Song, table_line
from deploy.tools.drill.service import Service, direct, forwarded
from deploy.tools.drill.songs import play


def drill(name: str, cluster: Cluster, url: str, seed: int) -> Row:
    """One row: songs are posted while the fault lasts, which begins as soon as one of them is being separated."""
    what, fault = FAULTS[name]
    plan, row, over = cluster.plan, Row(what), threading.Event()
    service = Service(url, plan.key, row.calls, time.monotonic() + plan.limit_seconds)
    cluster.wait_ready()
    poster = threading.Thread(target=post_songs, args=(row, service, plan, seed, over))
    poster.start()
    try:
        wait_running(row.songs, service.deadline)
        fault(cluster)
    finally:
        over.set()
        poster.join()
    return row


def post_songs(row: Row, service: Service, plan: Plan, seed: int, over: threading.Event) -> None:
    """One song each few seconds, in a thread of its own, until the fault is over; waits for all of them."""
    threads = []
    while len(row.songs) < plan.songs or not over.is_set():
        song = Song(seed=seed + len(row.songs))
        row.songs.append(song)
        threads.append(threading.Thread(target=play, args=(song, service, plan.song_seconds)))
        threads[-1].start()
        over.wait(plan.every_seconds) if len(row.songs) >= plan.songs else time.sleep(plan.every_seconds)
    for thread in threads:
        thread.join()


def wait_running(songs: list[Song], deadline: float) -> None:
    while not any(song.state == "running" for song in songs):
        if time.monotonic() > deadline:
            raise DrillError("no song was seen being separated")
        time.sleep(0.1)


def run(plan: Plan) -> int:
    cluster, rows = Cluster(plan), []
    seed = random.SystemRandom().randrange(10**9)  # the songs of each drill are new ones
    with direct(plan.url) if plan.url else forwarded(plan) as url:
        try:
            for place, name in enumerate(plan.faults):
                sys.stderr.write(f"{FAULTS[name][0]} …\n")
                rows.append(drill(name, cluster, url, seed + 1000 * place))
                sys.stderr.write(table_line(rows[-1]) + "".join(f"  lost: {reason}\n" for reason in rows[-1].lost))
        finally:
            sys.stdout.write(HEAD + "".join(map(table_line, rows)))
    return int(any(row.lost for row in rows))


def parsed(argv: list[str] | None) -> Plan:
    parser = argparse.ArgumentParser(prog="cluster-drill.py", description="Faults in a cluster while songs run.")
    standard = Plan()
    parser.add_argument("--context", default="", help="of kubectl (default: the current one)")
    parser.add_argument("--namespace", default=standard.namespace, help="(%(default)s)")
    parser.add_argument("--url", default="", help="of the API (default: a port-forward)")
    parser.add_argument("--songs", type=int, default=standard.songs, help="at least, for each fault (%(default)s)")
    for option, value, text in (
        ("--every", standard.every_seconds, "between two posts"),
        ("--song-seconds", standard.song_seconds, "of a song"),
        ("--limit", standard.limit_seconds, "for the songs of one fault"),
        ("--power-seconds", standard.power_seconds, "for which the power is off"),
    ):
        parser.add_argument(option, type=type(value), default=value, metavar="SECONDS", help=f"{text} (%(default)s)")
    parser.add_argument("--power-off", default="", metavar="COMMAND", help="cuts the power of the node named after it")
    parser.add_argument("--power-on", default="", metavar="COMMAND", help="brings the node named after it back")
    parser.add_argument("--faults", default="", metavar="A,B", help=f"of {', '.join(FAULTS)} (default: all)")
    args = parser.parse_args(argv)
    faults = chosen(args.faults, can_cut=bool(args.power_off and args.power_on))
    if isinstance(faults, str):
        parser.error(faults)
    return Plan(
        context=args.context,
        namespace=args.namespace,
        url=args.url,
        key=os.environ.get("MSAAS_API_KEY", ""),
        songs=args.songs,
        every_seconds=args.every,
        song_seconds=args.song_seconds,
        limit_seconds=args.limit,
        power_off=args.power_off,
        power_on=args.power_on,
        power_seconds=args.power_seconds,
        faults=faults,
    )


def chosen(names: str, *, can_cut: bool) -> tuple[str, ...] | str:
    """The faults by name, or what is wrong with the names. Without names all that are possible."""
    if not names:
        return tuple(name for name in FAULTS if can_cut or name not in NEED_POWER)
    faults = tuple(names.split(","))
    unknown = [name for name in faults if name not in FAULTS]
    if unknown:
        return f"no such fault: {', '.join(unknown)}; there are: {', '.join(FAULTS)}"
    if not can_cut and NEED_POWER & set(faults):
        return "a power cut needs --power-off and --power-on"
    return faults


def main(argv: list[str] | None = None) -> int:
    try:
        return run(parsed(argv))
    except DrillError as error:
        sys.stderr.write(f"cluster-drill: {error}\n")
        return 2
