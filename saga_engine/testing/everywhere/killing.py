"""The test of one saga: two clean runs, then one for each place to be killed at, judged by the clean ones."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from saga_engine.domain.definition.values import Frozen
from saga_engine.errors import BadInput, CleanRunFailed
from saga_engine.runtime.isolation.servers import prefork
from saga_engine.testing.everywhere import choosing, judging, playing, tables
from saga_engine.testing.everywhere.judging import ASK_A_PERSON, IN_DOUBT, End, Yardstick
from saga_engine.testing.everywhere.scene import Scene
from saga_engine.testing.kills import hits
from saga_engine.testing.kills.forks import LIFE_SECONDS, Ending, Tell, fork
from saga_engine.testing.kills.hits import Hit

LOG_SHOWN_CHARACTERS: Final = 2_000
NEAR_MAX: Final = 3
"""So many names that look like a misspelt one are shown."""
ALIKE: Final = 0.3


class Broken(Frozen):
    """A step that has broken its promise."""

    state: str
    promise: str
    killed: str
    """In words."""
    what: tuple[str, ...]
    """What was wrong at the end."""
    text: str
    """All of it in one sentence."""
    at: str
    """The failpoint and the hit, for ``--at``."""


class Tested(Frozen):
    """What came of a test."""

    saga: str
    version: int
    seed: str
    kills: int
    failpoints: int
    hits: int
    """How many hits a clean run has."""
    tried: int
    """At how many of them a run was to be killed: all, or a sample."""
    missed: int
    """How many of those a run did not come to again; it ended as those that were left alone."""
    parked: int
    """Runs that rightly asked a person what a step has done."""
    compared: tuple[str, ...]
    """The connections whose ledgers were compared; their tables too, but for what was *not_compared*."""
    not_compared: tuple[str, ...]
    on_threads: tuple[str, ...]
    """States that ask for a process of their own, and had none here."""
    broken: tuple[Broken, ...]
    """One for each step and kind of fault, the first that was found."""


def test(
    scene: Scene, folder: Path, *, seed: str, kills: int, at: Hit | None, progress: Callable[[int, int], None]
) -> Tested:
    """Kill runs of the scene's saga at up to *kills* hits, or at *at* alone. *progress* hears how many of how many.

    To be called in a process without threads, in which no store and no target is open. ``BadInput`` for a place *at*
    to which no run comes.
    """
    killing = _Killing(scene, folder / "processes.log")
    names = killing.clean()
    found = hits.numbered(names)
    if at is not None and at.name not in names:
        raise BadInput(_unknown(at, names))
    chosen = [at] if at is not None else choosing.chosen(found, kills, Random(seed))  # noqa: S311  no secret
    for number, hit in enumerate(chosen):
        progress(number, len(chosen))
        killing.kill(hit)
    tested = killing.tested(seed, len(found))
    if at is not None and tested.missed:
        raise BadInput(
            f"the run ended before it came to {at}; an undisturbed one is there {names.count(at.name)} times"
        )
    return tested


def _unknown(at: Hit, names: Sequence[str]) -> str:
    known = sorted(set(names))
    near = difflib.get_close_matches(at.name, known, NEAR_MAX, ALIKE) or known
    return f"no undisturbed run comes to {at.name}; near it are {', '.join(near)}"


class _Killing:
    def __init__(self, scene: Scene, log: Path) -> None:
        self._scene, self._log = scene, log
        self._number = 0
        self._tried = self._missed = self._parked = 0
        self._killed: list[Hit] = []
        self._broken: dict[tuple[str, str, str], Broken] = {}

    def clean(self) -> list[str]:
        """Run twice undisturbed; the failpoints of the second, where everything is imported."""
        made = fork(lambda _tell: self._scene.make(), self._log).ended()
        if made.code != 0:
            raise self._failed(self._said(made))
        self._scene.keep()
        ends, names = [], list[str]()
        for _ in range(2):
            ending = self._play(self._key(), None)
            names = [name for line in ending.said for name in line.get("hits", ())]
            end = self._end(ending)
            if not isinstance(end, End):
                raise self._failed(end["reason"])
            ends.append(end)
        one, other = ends
        if (one.state, one.status) != (other.state, other.status):
            raise self._failed(f"one ends {one.status} in {one.state}, the next {other.status} in {other.state}")
        self._yardstick = Yardstick.of(*ends)
        return names

    def kill(self, hit: Hit) -> None:
        """One trial."""
        self._tried += 1
        key = self._key()
        victim = self._play(key, hit)
        if not victim.killed:
            self._survived(hit, victim)
            return
        self._killed.append(hit)
        statement = next((line["statement"] for line in reversed(victim.said) if "statement" in line), "")
        ending = self._play(key, None, restore=False)
        where = next((line["where"] for line in ending.said if "where" in line), None)
        where = where or {"state": self._scene.chart.start, "kind": ""}
        promise = judging.promise_of(self._scene.chart, where["state"], where["kind"])
        end = self._end(ending)
        if isinstance(end, End):
            what = tuple(self._yardstick.differences(end))
        elif end["code"] == IN_DOUBT and promise in ASK_A_PERSON:
            self._parked += 1
            what = ()
        else:
            what = (f"the run stays in {end['state']}: {end['reason']}",)
        if what:
            self._note(hit, where["state"], promise, f"killed {judging.place(hit.name, statement)}", what)

    def _survived(self, hit: Hit, victim: Ending) -> None:
        """Judge who was not killed: a run that is quicker than the clean one has fewer hits, and ends like it.

        One whose process broke, or hung, or that ends otherwise has not been tested there, and was disturbed by nobody.
        """
        end = self._end(victim) if victim.code == 0 else self._broke(victim)
        if isinstance(end, End):
            state, what = end.state, tuple(self._yardstick.differences(end))
        else:
            state, what = end["state"], (f"the run stays in {end['state']}: {end['reason']}",)
        if what:
            self._note(hit, state, "alone", f"it did not come to {hit}", what)
        else:
            self._missed += 1

    def tested(self, seed: str, clean_hits: int) -> Tested:
        """What came of it all."""
        chart = self._scene.chart
        servers = [
            f"tables of {name}" for name in self._scene.settings.connections if name not in self._scene.databases
        ]
        return Tested(
            saga=chart.name,
            version=chart.version,
            seed=seed,
            kills=len(self._killed),
            failpoints=len({hit.name for hit in self._killed}),
            hits=clean_hits,
            tried=self._tried,
            missed=self._missed,
            parked=self._parked,
            compared=tuple(sorted(self._scene.settings.connections)),
            not_compared=(*servers, *self._yardstick.not_compared),
            on_threads=self._scene.on_threads,
            broken=tuple(self._broken.values()),
        )

    def _note(self, hit: Hit, state: str, promise: str, killed: str, what: tuple[str, ...]) -> None:
        text = f"{judging.BREAKS[promise].format(state=state)}: {killed}, {'; '.join(what)}"
        broken = Broken(state=state, promise=promise, killed=killed, what=what, text=text, at=str(hit))
        self._broken.setdefault((state, promise, " ".join(what)), broken)

    def _play(self, key: str, hit: Hit | None, *, restore: bool = True) -> Ending:
        if restore:
            self._scene.restore()
        return fork(partial(_played, self._scene, key, hit), self._log).ended()

    def _end(self, ending: Ending) -> End | dict[str, str]:
        """How a run has ended; or where and why it is stuck."""
        said = {name: value for line in ending.said for name, value in line.items()}
        if "end" in said:
            contents = {
                f"{name}.{table}": content
                for name, database in self._scene.databases.items()
                for table, content in tables.content(database.here).items()
            }
            return End(**said["end"], tables=contents)
        stuck: dict[str, str] = said.get("stuck") or self._broke(ending)
        return stuck

    def _broke(self, ending: Ending) -> dict[str, str]:
        """What a process leaves that has not said how its run ended."""
        return {"state": "?", "code": "", "reason": self._said(ending)}

    def _said(self, ending: Ending) -> str:
        told = self._log.read_text(errors="replace") if self._log.exists() else ""
        hung = ending.code == -signal.SIGALRM
        how = f"hung, and was ended after {LIFE_SECONDS} s" if hung else f"ended with {ending.code}"
        return f"a process {how}\n{told[-LOG_SHOWN_CHARACTERS:]}".rstrip()

    def _failed(self, reason: str) -> CleanRunFailed:
        return CleanRunFailed(saga=self._scene.chart.name, reason=reason)

    def _key(self) -> str:
        self._number += 1
        return f"run {self._number}"


def _played(scene: Scene, key: str, hit: Hit | None, tell: Tell) -> None:
    if hit is not None:
        playing.play(scene, key, f"{hit}=kill", tell)
        return
    prefork()  # a step whose process was killed goes on in one of its own
    names: list[str] = []
    playing.play(scene, key, names.append, tell)
    tell({"hits": names})
