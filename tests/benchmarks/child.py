"""One scenario in a process of its own: ``python -m tests.benchmarks.child KIND STORE ...`` prints one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any, Final

from saga_engine import Engine, log
from saga_engine.settings import Settings
from tests.benchmarks import clients, fill, gauges, growth, latency, people, recovery, sagas, serving, workers

KINDS: Final[dict[str, Callable[[Engine, argparse.Namespace], dict[str, Any]]]] = {
    "fill": fill.filled,
    "serve": serving.serve,
    "drain": workers.drain,
    "memory": workers.memory,
    "workers": workers.together,
    "commits": latency.commits,
    "events": latency.events,
    "people": people.act_and_look,
    "quiet": people.quiet_beside_busy,
    "recovery": recovery.recovery,
    "growth": growth.growth,
    "churn": growth.churn,
    "client": clients.client,
    "clients": clients.together,
}


def ordered() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("store")
    parser.add_argument("--slots", type=int, default=100)
    parser.add_argument("--fill", default="", help="KIND=N,KIND=N")
    parser.add_argument("--times", type=int, default=200, help="how often something is done that is timed")
    parser.add_argument("--busy", type=int, default=0, help="runs that keep the worker busy meanwhile")
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--number", type=int, default=0, help="which of the processes this is, from 0")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--what", default="", help="what of the kind")
    parser.add_argument("--held", action="store_true", help="the step of a held run stays where it is")
    return parser.parse_args()


def main() -> None:
    order = ordered()
    log.configure(verbosity=-1)
    if order.held:
        sagas.FREE.clear()
    with Engine(settings=Settings(store=order.store, roles={"dba": ("ann",)}), sagas=sagas.ALL) as engine:
        facts = {"kind": order.kind, "journal": gauges.journal(engine.store)}
        row = KINDS[order.kind](engine, order)
    sys.stdout.write(json.dumps({**facts, **row}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
