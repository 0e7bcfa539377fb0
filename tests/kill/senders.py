"""Processes that send events, each until it is acknowledged; what was, they write into a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from saga_engine import failpoints
from saga_engine.runtime.engine import Engine

SOURCE = "bank"


def acknowledged(folder: Path, number: int) -> list[list[str]]:
    """What a sender was told to have arrived, in order: run and event key."""
    file = folder / f"sent-{number}"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def send(engine: Engine, how: dict[str, Any]) -> int:
    """Send the events of the file ``events-N``, but for those that were acknowledged before this process was born."""
    folder, number = Path(how["folder"]), how["number"]
    events = json.loads((folder / f"events-{number}").read_text())
    with engine, failpoints.switched_on(how["points"]), (folder / f"sent-{number}").open("a") as file:
        for run, key in events[len(acknowledged(folder, number)) :]:
            engine.send(run, "tick", {"n": int(key)}, dedup_key=key, source=SOURCE, actor=f"sender {number}")
            file.write(json.dumps([run, key]) + "\n")
            file.flush()
    return 0
