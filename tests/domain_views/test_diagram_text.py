"""The drawing for a terminal says what the table says."""

from __future__ import annotations

import re

import pytest

from saga_engine.domain.checks.rules import RULES
from saga_engine.domain.diagram import text
from saga_engine.domain.diagrams.words import by_target
from saga_engine.domain.graph import Graph
from tests.domain_views.sagas import MIGRATE, saga_of

EVERY = {
    "MIGRATE": MIGRATE,
    **{f"{code}-{kind}": getattr(RULES[code], kind) for code in RULES for kind in ("bad", "good")},
}


def test_the_trunk_runs_down_and_the_other_ways_stand_beside_it() -> None:
    assert (
        text(saga_of(MIGRATE), "LOADING")
        == """\
migrate v1, in LOADING

○ EXPORTING         export, undo by drop_export
│   failed ─▶ ROLLING_BACK
▼
● LOADING           load, undo by unload
│   failed, on abort when urgent ─▶ ROLLING_BACK
▼
○ VALIDATING        validate, reads only
│   else, failed ─▶ ROLLING_BACK
▼ when close_enough
○ AWAITING_CUTOVER  asks 2 of dba, later lead, shows validate, at most 1 d
│   rejected, expired ─▶ ROLLING_BACK
▼ approved
○ CUTTING_OVER      cut_over, point of no return
▼
◎ COMPLETED         end

○ ROLLING_BACK      undoes, last started first
▼
◎ ROLLED_BACK       end
"""
    )


def test_the_drawing_needs_nothing_but_ascii_where_that_is_asked() -> None:
    lines = """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).when(usable, S.LOADING).then(S.WAITING, timed_out=S.LATE)
saga.at(S.LOADING).run(load, timeout=hours(1)).then(S.COMPLETED, failed=S.BROKEN)
saga.at(S.LOST).run(tidy)
"""
    saga = saga_of(lines)
    saga.rows.pop(saga.states["BROKEN"])
    saga.final(saga.states["BROKEN"], outcome="failed")

    assert (
        text(saga, ascii_only=True)
        == """\
migrate v1

o WAITING    waits for file, at most 8 h
|   else      -> WAITING
|   timed_out -> LATE
v when usable
o LOADING    load, no undo
|   failed -> BROKEN
v
= COMPLETED  end

= LATE       end

= BROKEN     end, failed

o LOST       no line in the table
"""
    )


def test_a_long_name_pushes_what_follows_onto_the_next_line() -> None:
    lines = f"""
late = Event("{"x" * 70}", Abort, unhandled="reject")
go_live = Approval("dba", shows=validate, expires=hours(30), escalate=("the_people_who_carry_the_pager", hours(4)))
(saga.at(S.VALIDATING_EVERYTHING_THAT_CAME_FROM_THE_SHOP).run(validate, timeout=hours(1)).reads_only()
     .on(late, S.LATE).then(S.ASKING))
saga.at(S.ASKING).approval(go_live).then(approved=S.DONE{"_" * 73}, rejected=S.LATE, expired=S.LATE)
"""

    assert (
        text(saga_of(lines))
        == f"""\
migrate v1

○ VALIDATING_EVERYTHING_THAT_CAME_FROM_THE_SHOP  validate, reads only
│   on {"x" * 70}
│     ─▶ LATE
▼
○ ASKING                    asks 1 of dba, later the_people_who_carry_the_pager,
│                           shows validate, at most 1 d 6 h
│   rejected, expired ─▶ LATE
▼ approved
◎ DONE{"_" * 73}
    end

◎ LATE                      end
"""
    )


def test_where_many_ways_lead_on_their_labels_are_wrapped() -> None:
    events = "\n".join(f'e{n} = Event("something_{n}", Abort, unhandled="reject")' for n in range(8))
    ways = "".join(f".on(e{n}, S.DONE)" for n in range(8))
    lines = f"{events}\nsaga.at(S.LOADING).run(load, timeout=hours(1)).pivot(){ways}.then(S.DONE)"

    assert (
        text(saga_of(lines))
        == """\
migrate v1

○ LOADING  load, point of no return
│ on something_0, on something_1, on something_2, on something_3,
▼ on something_4, on something_5, on something_6, on something_7
◎ DONE     end
"""
    )


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_way_that_can_be_taken_is_drawn_once(name: str, ascii_only: bool) -> None:
    saga = saga_of(EVERY[name])
    graph = Graph(saga)

    drawing = text(saga, ascii_only=ascii_only)

    assert drawn_ways(drawing) == {
        (state, target, ", ".join(filter(None, labels)))
        for state in graph.names
        for target, labels in by_target(graph.ways[state]).items()
    }
    assert max(map(len, drawing.splitlines())) <= 80
    assert drawing.isascii() is ascii_only


def drawn_ways(drawing: str) -> set[tuple[str, str, str]]:
    """(state, target, labels) as a reader sees them: beside the rail, and down to the next state."""
    found: list[tuple[str, str, str]] = []
    here, down, labels = "", None, ""
    for line in drawing.splitlines()[2:]:
        if state := re.match(r"[○●◎o*=] (\w+)", line):
            if down is not None:
                found.append((here, state[1], down))
            here, down, labels = state[1], None, ""
        elif line[:1] in ("▼", "v"):
            down = " ".join(filter(None, (labels, line[2:])))
        elif beside := re.match(r"[│| ]   (.*?) *(?:─▶|->) (\w+)$", line):
            found.append((here, beside[2], f"{labels} {beside[1]}".strip().removeprefix("then")))
            labels = ""
        elif line:
            labels = f"{labels} {line[2:].strip()}".strip()
    assert len(found) == len(set(found)), "no way twice"
    return set(found)
