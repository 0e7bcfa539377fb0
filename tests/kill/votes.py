"""People who decide at the same moment, on many threads of several processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, Final

from saga_engine import errors
from saga_engine.runtime.engine import Engine

PATIENCE_SECONDS: Final = 30.0
"""How long one waits for the others at the start of a round."""


def person(process: int, thread: int) -> str:
    return f"person-{process}-{thread}"


def approves(process: int, thread: int, number: int) -> bool:
    """In each round half of the people are for it, others than in the round before."""
    return (process + thread + number) % 2 == 0


def vote(engine: Engine, how: dict[str, Any], process: int, together: Callable[[float], object]) -> int:
    """Decide on each of ``how["rounds"]``, a list of run and digest; what was answered goes to a file."""
    file = Path(how["folder"]) / f"votes-{process}"
    answers: list[dict[str, Any]] = []

    def one(thread: int) -> None:
        for number, (run, digest) in enumerate(how["rounds"]):
            together(PATIENCE_SECONDS)
            answers.append(_decide(engine, run, digest, person(process, thread), approves(process, thread, number)))

    threads = [Thread(target=one, args=(thread,)) for thread in range(how["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    engine.close()
    return 0


def _decide(engine: Engine, run: str, digest: str, actor: str, approved: bool) -> dict[str, Any]:
    said = {"run": run, "actor": actor, "approved": approved}
    act = engine.approve if approved else engine.reject
    try:
        reply = act(run, shown=digest, actor=actor, reason=f"{actor} says so")
    except errors.SagaError as error:
        facts = {name: str(value) for name, value in error.facts.items()}
        return {**said, "error": type(error).__name__, "code": error.exit_code, "text": str(error), "facts": facts}
    return {**said, "error": "", "state": reply.state}


def answers(folder: Path, processes: int) -> Iterator[dict[str, Any]]:
    """All that was answered to them."""
    for process in range(processes):
        for line in (folder / f"votes-{process}").read_text().splitlines():
            yield json.loads(line)
