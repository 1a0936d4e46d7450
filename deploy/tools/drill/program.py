"""Plays the faults one after the other and prints the table."""

from __future__ import annotations

import argparse
import os
import random
import sys
import threading
import time
from dataclasses import dataclass

from deploy.tools.drill.cluster import Cluster
from deploy.tools.drill.faults import FAULTS, MEASUREMENTS, Fault
from deploy.tools.drill.records import HEAD, DrillError, Plan, Row, Song, table_line
from deploy.tools.drill.service import Service, direct, forwarded
from deploy.tools.drill.songs import look_at, play

ALL = FAULTS | MEASUREMENTS
FAULTS_HELP = f"of {', '.join(FAULTS)} (default: all); not among all: {', '.join(MEASUREMENTS)}"


def drill(fault: Fault, cluster: Cluster, url: str, seed: int) -> Row:
    """One row: songs are posted while the fault lasts, which begins as soon as one of them is being separated."""
    plan, row, over = cluster.plan, Row(fault.what), threading.Event()
    service = Service(url, plan.key, row.calls, time.monotonic() + plan.limit_seconds)
    cluster.wait_ready()
    poster = threading.Thread(target=post_songs, args=(row, service, Posts(plan, fault, seed), over))
    with fault.around(cluster):
        poster.start()
        try:
            if not fault.on_done:
                wait_running(row.songs, service.deadline)
                fault.action(cluster, row)
        finally:
            over.set()
            poster.join()
        if fault.on_done:
            fault.action(cluster, row)
            for song in row.songs:
                look_at(song, service)
    return row


@dataclass(frozen=True)
class Posts:
    """The songs of a row."""

    plan: Plan
    fault: Fault
    seed: int

    @property
    def least(self) -> int:
        return len(self.fault.lengths) or self.plan.songs

    def is_all(self, count: int, *, over: bool) -> bool:
        return count >= self.least and (over or bool(self.fault.lengths))

    @property
    def pause(self) -> float:
        return 0 if self.fault.lengths else self.plan.every_seconds

    def song(self, place: int) -> Song:
        lengths, plan = self.fault.lengths, self.plan
        return Song(self.seed + place, round(lengths[place] * plan.long_seconds) if lengths else plan.song_seconds)


def post_songs(row: Row, service: Service, posts: Posts, over: threading.Event) -> None:
    """Each song in a thread of its own, one after the other until the fault is over; waits for all of them."""
    threads = []
    while not posts.is_all(len(row.songs), over=over.is_set()):
        song = posts.song(len(row.songs))
        row.songs.append(song)
        threads.append(threading.Thread(target=play, args=(song, service)))
        threads[-1].start()
        over.wait(posts.pause) if len(row.songs) >= posts.least else time.sleep(posts.pause)
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
                fault = ALL[name]
                if fault.needs and not cluster.has(fault.needs):
                    sys.stderr.write(f"left out, without {fault.needs}: {fault.what}\n")
                    continue
                sys.stderr.write(f"{fault.what} …\n")
                rows.append(drill(fault, cluster, url, seed + 1000 * place))
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
        ("--long-seconds", standard.long_seconds, "of a long song, where a fault needs some"),
        ("--limit", standard.limit_seconds, "for the songs of one fault"),
        ("--power-seconds", standard.power_seconds, "for which the power is off"),
    ):
        parser.add_argument(option, type=type(value), default=value, metavar="SECONDS", help=f"{text} (%(default)s)")
    parser.add_argument("--power-off", default="", metavar="COMMAND", help="cuts the power of the node named after it")
    parser.add_argument("--power-on", default="", metavar="COMMAND", help="brings the node named after it back")
    parser.add_argument("--faults", default="", metavar="A,B", help=FAULTS_HELP)
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
        long_seconds=args.long_seconds,
        limit_seconds=args.limit,
        power_off=args.power_off,
        power_on=args.power_on,
        power_seconds=args.power_seconds,
        faults=faults,
    )


def chosen(names: str, *, can_cut: bool) -> tuple[str, ...] | str:
    """The faults by name, or what is wrong with the names. `all`, or no name: all that are possible."""
    possible = [name for name, fault in FAULTS.items() if can_cut or not fault.cuts_power]
    faults = [name for word in (names or "all").split(",") for name in (possible if word == "all" else [word])]
    unknown = [name for name in faults if name not in ALL]
    if unknown:
        return f"no such fault: {', '.join(unknown)}; there are: {', '.join(ALL)}"
    if not can_cut and any(ALL[name].cuts_power for name in faults):
        return "a power cut needs --power-off and --power-on"
    return tuple(faults)


def main(argv: list[str] | None = None) -> int:
    try:
        return run(parsed(argv))
    except DrillError as error:
        sys.stderr.write(f"cluster-drill: {error}\n")
        return 2
