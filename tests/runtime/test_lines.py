"""What a worker hears of a process that it has forked: whether it can be given another attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from saga_engine.runtime.isolation.lines import Lines
from saga_engine.runtime.isolation.wire import Wire, pair


class Ends:
    """The far ends of a process's lines: what it says, and what its warden does."""

    def __init__(self, ends: ExitStack) -> None:
        control, warden = (ends.enter_context(end) for end in pair())
        wire, process = (ends.enter_context(end) for end in pair())
        self.lines = Lines(ends.enter_context(ExitStack()), control, wire, 1_000)
        self.warden, self.process = Wire(warden, 1_000), Wire(process, 1_000)


@pytest.fixture
def ends() -> Iterator[Ends]:
    with ExitStack() as stack:
        yield Ends(stack)


def test_a_process_of_which_nothing_more_is_heard_than_that_it_began_waits(ends: Ends) -> None:
    assert ends.lines.waits()
    ends.warden.send({"pid": 7})
    assert (ends.lines.waits(), ends.lines.pid) == (True, 7)
    assert ends.lines.waits()


@pytest.mark.parametrize(
    "happens",
    [
        lambda ends: ends.process.send({"ask": "heard"}),
        lambda ends: ends.process.close(),
        lambda ends: ends.warden.send({"ended": -9, "clean": True}),
        lambda ends: ends.warden.send({"failed": "no file"}),
        lambda ends: ends.warden.close(),
    ],
    ids=["it says something", "it hangs up", "it has ended", "it was not started", "its warden has ended"],
)
def test_a_process_of_which_anything_else_is_heard_does_not(ends: Ends, happens: Callable[[Ends], None]) -> None:
    ends.warden.send({"pid": 7})
    happens(ends)
    assert not ends.lines.waits()


@pytest.mark.parametrize("told", [{"ended": 0, "clean": True}, {"failed": "no file"}], ids=["ended", "not started"])
def test_it_is_over_when_its_warden_says_so_though_somebody_keeps_the_line_open(
    ends: Ends, told: dict[str, object]
) -> None:
    """A step on a thread has forked meanwhile: that process has a copy of the warden's end."""
    ends.warden.send({"pid": 7})
    assert not ends.lines.over()
    ends.warden.send(told)
    assert ends.lines.over()
