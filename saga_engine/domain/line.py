"""A journal line as it is stored: what the line says in one place already is not said again in another.

What comes with every step is said in a few words, a list each; all else is spelled out, an object each, with its
``kind``. A task's name begins with its run's id, and the id is left out: ``.3`` is ``run.3``. What is read is exactly
what was written. The journal's chain of hashes is over these texts, so what is written here is never written in another
way (docs/decisions/0046).

| words | event or commands |
|---|---|
| ``["Succeeded", task, incarnation, value, attempt]`` | ActionSucceeded |
| ``["Done", state, source, undo, visit]`` | AddResult with the event's value; SetUndo, done; CloseTask of the event's |
| ``["Move", target, because, visit, source]`` | Move; *source* is the state that is Done |
| ``["Step", undo]`` | AddTask of the state moved to; PushUndo |
| ``["Start", seconds]`` | OpenState; SetDue of that task, so many seconds after the line's own time |

*undo* is a position, 0 where there is none. At the end of a list is left out: 0 as *undo* and *seconds*, 1 as *visit*
and *attempt*.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from msgspec import convert, to_builtins
from msgspec.json import Encoder, decode

from saga_engine.domain import commands as c
from saga_engine.domain.commands import Command
from saga_engine.domain.events import ActionSucceeded, Event
from saga_engine.domain.snapshot import Task

Phrase: TypeAlias = tuple[list[Any], int]
"""What stands in the text, and for how many commands."""


def event_text(run_id: str, event: Event) -> str:
    """The event of a line of that run, as JSON."""
    if type(event) is ActionSucceeded:
        told = ["Succeeded", _short(event.task, run_id), event.incarnation, event.value]
        return _ENCODER.encode(told if event.attempt == 1 else [*told, event.attempt]).decode()
    spelled_out = to_builtins(event)
    _shorten(spelled_out, run_id)
    return _ENCODER.encode(spelled_out).decode()


def event_of(run_id: str, text: str) -> Event:
    """The event of a stored line; ValueError and the like where it is none."""
    told: Any = decode(text)
    if isinstance(told, list):
        return _READ_EVENT[told[0]](run_id, *told[1:])
    _lengthen(told, run_id)
    found: Event = convert(told, Event)
    return found


def _succeeded(run_id: str, task: str, incarnation: str, value: str, attempt: int = 1) -> ActionSucceeded:
    return ActionSucceeded(_long(task, run_id), attempt, incarnation, value)


_READ_EVENT: Final = {"Succeeded": _succeeded}


def commands_text(run_id: str, revision: int, at: datetime, event: Event, commands: Sequence[Command]) -> str:
    """What was decided on *event*, as JSON. *at* is the line's time."""
    said = _Said(run_id, revision, at, event)
    told: list[Any] = []
    at_most, i = len(commands), 0
    while i < at_most:
        command = commands[i]
        write = _WRITTEN.get(type(command))
        phrase = write(said, commands, i) if write else None
        if phrase is None:
            told.append(said.spelled_out(command))
            i += 1
        else:
            told.append(phrase[0])
            i += phrase[1]
    return _ENCODER.encode(told).decode()


def commands_of(run_id: str, revision: int, at: datetime, event: Event, text: str) -> tuple[Command, ...]:
    """The commands of a stored line; ValueError and the like where it holds none."""
    said = _Said(run_id, revision, at, event)
    found: list[Command] = []
    for item in decode(text):
        found += _READ[item[0]](said, *item[1:]) if isinstance(item, list) else said.read(item)
    return tuple(found)


class _Said:
    """What the line has said so far."""

    __slots__ = ("at", "made", "new", "run_id", "source", "stem", "target", "task", "value", "visit")

    def __init__(self, run_id: str, revision: int, at: datetime, event: Event) -> None:
        self.run_id, self.at = run_id, at
        self.stem = f"{run_id}.{revision}"
        self.task, self.value = (event.task, event.value) if isinstance(event, ActionSucceeded) else ("", "")
        self.source = self.target = self.new = ""
        self.visit = self.made = 0

    def step(self) -> Task:
        """The step of the state moved to, as the next task that the line makes."""
        name = f"{self.stem}.{self.made}" if self.made else self.stem
        return Task(name, "step", self.target, self.visit, 1)

    def moved(self, target: str, visit: int) -> None:
        self.target, self.visit = target, visit

    def added(self, name: str) -> None:
        self.made += 1
        self.new = name

    def spelled_out(self, command: Command) -> dict[str, Any]:
        self._note(command)
        told: dict[str, Any] = to_builtins(command)
        _shorten(told, self.run_id)
        return told

    def read(self, told: dict[str, Any]) -> list[Command]:
        _lengthen(told, self.run_id)
        command: Command = convert(told, Command)
        self._note(command)
        return [command]

    def _note(self, command: Command) -> None:
        if isinstance(command, c.AddTask):
            self.added(command.task.name)


def _write_done(said: _Said, commands: Sequence[Command], i: int) -> Phrase | None:
    kept, then = commands[i], commands[i + 1] if i + 1 < len(commands) else None
    assert isinstance(kept, c.AddResult)
    position, used = 0, 2
    if type(then) is c.SetUndo and then.status == "done" and i + 2 < len(commands):
        position, used, then = then.position, 3, commands[i + 2]
    if type(then) is not c.CloseTask or then.task != said.task or kept.value != said.value:
        return None
    said.source = kept.state
    if kept.visit != 1:
        return ["Done", kept.state, kept.source, position, kept.visit], used
    return ["Done", kept.state, kept.source, position] if position else ["Done", kept.state, kept.source], used


def _read_done(said: _Said, state: str, source: str, undo: int = 0, visit: int = 1) -> list[Command]:
    said.source = state
    done: list[Command] = [c.SetUndo(undo, "done")] if undo else []
    return [c.AddResult(state, visit, source, said.value), *done, c.CloseTask(said.task)]


def _write_move(said: _Said, commands: Sequence[Command], i: int) -> Phrase | None:
    move = commands[i]
    assert isinstance(move, c.Move)
    said.moved(move.target, move.visit)
    if move.source != said.source:
        return ["Move", move.target, move.because, move.visit, move.source], 1
    return ["Move", move.target, move.because] + ([move.visit] if move.visit != 1 else []), 1


def _read_move(said: _Said, target: str, because: str, visit: int = 1, source: str | None = None) -> list[Command]:
    said.moved(target, visit)
    return [c.Move(said.source if source is None else source, target, visit, because)]


def _write_step(said: _Said, commands: Sequence[Command], i: int) -> Phrase | None:
    add = commands[i]
    assert isinstance(add, c.AddTask)
    task = add.task
    if task.kind != "step" or task != said.step():
        return None
    said.added(task.name)
    push = commands[i + 1] if i + 1 < len(commands) else None
    if type(push) is c.PushUndo and push.position and push == _pushed(push.position, task):
        return ["Step", push.position], 2
    return ["Step"], 1


def _read_step(said: _Said, undo: int = 0) -> list[Command]:
    task = said.step()
    said.added(task.name)
    return [c.AddTask(task), _pushed(undo, task)] if undo else [c.AddTask(task)]


def _pushed(position: int, task: Task) -> c.PushUndo:
    return c.PushUndo(position, task.state, task.visit, task.name)


def _write_start(said: _Said, commands: Sequence[Command], i: int) -> Phrase | None:
    opened, due = commands[i], commands[i + 1] if i + 1 < len(commands) else None
    assert isinstance(opened, c.OpenState)
    if type(due) is not c.SetDue or opened.state != said.target or due.task != said.new:
        return None
    if due.due_at is None or due.failures or due.error:
        return None
    seconds = (due.due_at - said.at).total_seconds()
    return ["Start", seconds] if seconds else ["Start"], 2


def _read_start(said: _Said, seconds: float = 0) -> list[Command]:
    return [c.OpenState(said.target), c.SetDue(said.new, said.at + timedelta(seconds=seconds))]


_WRITTEN: Final[Mapping[type, Callable[[_Said, Sequence[Command], int], Phrase | None]]] = {
    c.AddResult: _write_done,
    c.Move: _write_move,
    c.AddTask: _write_step,
    c.OpenState: _write_start,
}
_READ: Final[Mapping[str, Callable[..., list[Command]]]] = {
    "Done": _read_done,
    "Move": _read_move,
    "Step": _read_step,
    "Start": _read_start,
}


def _short(name: str, run_id: str) -> str:
    return name[len(run_id) :] if name.startswith(f"{run_id}.") else name


def _long(name: str, run_id: str) -> str:
    return run_id + name if name.startswith(".") else name


def _shorten(told: dict[str, Any], run_id: str) -> None:
    """Leave the run's id out of the task's name, wherever a command or an event has it."""
    for holder, field in _named(told):
        holder[field] = _short(holder[field], run_id)


def _lengthen(told: dict[str, Any], run_id: str) -> None:
    for holder, field in _named(told):
        holder[field] = _long(holder[field], run_id)


def _named(told: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Where a task's name may stand, and in which field of it."""
    task, gate = told.get("task"), told.get("gate")
    if isinstance(task, dict):
        return [(task, "name")]
    if task is not None:
        return [(told, "task")]
    return [(gate, "task")] if gate is not None else []


_ENCODER: Final = Encoder()
