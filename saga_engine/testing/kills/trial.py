"""One trial: a process plays a run and is killed at a failpoint, once or twice; the last one ends it and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from saga_engine import failpoints
from saga_engine.testing.kills.finisher import Finisher
from saga_engine.testing.kills.forks import Ending, Tell, fork
from saga_engine.testing.kills.hits import Hit
from saga_engine.testing.kills.play import Play

LOG_SHOWN_CHARACTERS: Final = 3_000


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one: where it was to be killed, where it was, and what was wrong at the end."""

    key: str
    at: tuple[Hit, ...]
    killed: tuple[Hit, ...]
    problems: tuple[str, ...]


def count(play: Play, key: str, log: Path) -> tuple[Trial, list[str]]:
    """Play in a process that is left alone; what came of it, and the failpoints that it came to, in order."""
    ending = fork(partial(_last, play, key, []), log).ended()
    names = [name for line in ending.said for name in line.get("hits", ())]
    return Trial(key, (), (), _problems(ending, log)), names


def kill(play: Play, key: str, at: Sequence[Hit], log: Path, finisher: Finisher | None = None) -> Trial:
    """Play in processes that are killed one after the other, at the hits *at*; the last one is left alone.

    The last one is a process of its own, or *finisher*, which opens nothing anew.
    """
    killed: list[Hit] = []
    told: list[Any] = []
    for hit in at:
        ending = fork(partial(_victim, play, key, hit), log).ended()
        told += [line["told"] for line in ending.said]
        if ending.killed:
            killed.append(hit)
        elif ending.code != 0:
            return Trial(key, tuple(at), tuple(killed), _problems(ending, log))
    if finisher is None:
        problems = _problems(fork(partial(_last, play, key, told), log).ended(), log)
    else:
        found = finisher.finish(key, told)
        problems = _problems(found, log) if isinstance(found, Ending) else tuple(found)
    return Trial(key, tuple(at), tuple(killed), problems)


def _victim(play: Play, key: str, hit: Hit, tell: Tell) -> None:
    with failpoints.switched_on(f"{hit}=kill"), play.open() as engine:
        play.act(engine, key, lambda what: tell({"told": what}))


def _last(play: Play, key: str, told: list[Any], tell: Tell) -> None:
    hits: list[str] = []
    with failpoints.switched_on(hits.append), play.open() as engine:
        play.act(engine, key, told.append)
        tell({"hits": [*hits]})
        tell({"problems": play.problems(engine, key, told)})


def _problems(ending: Ending, log: Path) -> tuple[str, ...]:
    """What the last process found; that it did not come so far is a problem, too."""
    found = [problem for line in ending.said for problem in line.get("problems", ())]
    if ending.code != 0 or not ending.said:
        told = log.read_text(errors="replace")[-LOG_SHOWN_CHARACTERS:]
        found.append(f"a process ended with {ending.code}: {told}")
    return tuple(found)
