"""Drawings: each says what the table says, in a form that its reader or program takes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from saga_engine.domain.chart import Chart
from saga_engine.domain.checks.rules import RULES
from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.diagram import Stay, dot, mermaid, path_line, text
from saga_engine.domain.diagrams.words import by_target
from saga_engine.domain.graph import Graph
from saga_engine.domain.lengths import clock, compact, spaced
from saga_engine.domain.snapshot import Snapshot, UndoEntry
from saga_engine.domain.values import Status, UndoStatus
from tests.domain_views.moments import NOON
from tests.domain_views.sagas import MIGRATE, Input, saga_of

EVERY = {
    "MIGRATE": MIGRATE,
    **{f"{code}-{kind}": getattr(RULES[code], kind) for code in RULES for kind in ("bad", "good")},
}

AWKWARD = """
odd = Event('say "hi";\\n#1 \\\\ a:b %% <x>', Abort, unhandled="reject")
saga.at(S.START).run(export, timeout=hours(1)).reads_only().on(odd, S.NOTE, when=urgent).then(S.END_OF_PHASE)
saga.at(S.END_OF_PHASE).run(validate, timeout=hours(1)).reads_only().when(all_there, S.END).then(S.NOTE)
saga.at(S.NOTE_).run(load, timeout=hours(1)).then(S.END)
saga.group(S.START, S.END_OF_PHASE, S.NOTE_, deadline=hours(3)).then(failed=S.NOTE, timed_out=S.NOTE_)
saga.group(S.START, S.END_OF_PHASE).on(odd, S.START).then()
"""
"""Quotes, breaks and signs in a name, states called like words of Mermaid, groups in groups and ways into them."""


# --- for a terminal


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


# --- for programs


def test_mermaid_draws_groups_as_composite_states_and_sets_off_the_current_one() -> None:
    assert (
        mermaid(saga_of(MIGRATE), "LOADING")
        == """\
stateDiagram-v2
    state "group" as GROUP_1 {
        EXPORTING
        LOADING
        VALIDATING
    }
    ROLLING_BACK
    AWAITING_CUTOVER
    CUTTING_OVER
    COMPLETED
    ROLLED_BACK
    [*] --> EXPORTING
    EXPORTING --> LOADING
    LOADING --> VALIDATING
    LOADING --> ROLLING_BACK : on abort when urgent
    ROLLING_BACK --> ROLLED_BACK
    VALIDATING --> AWAITING_CUTOVER : when close_enough
    VALIDATING --> ROLLING_BACK : else
    AWAITING_CUTOVER --> CUTTING_OVER : approved
    AWAITING_CUTOVER --> ROLLING_BACK : rejected, expired
    CUTTING_OVER --> COMPLETED
    GROUP_1 --> ROLLING_BACK : failed
    COMPLETED --> [*]
    ROLLED_BACK --> [*]
    classDef current font-weight:bold,stroke-width:4px
    class LOADING current
"""
    )


def test_mermaid_reads_no_name_as_a_word_of_its_own() -> None:
    assert (
        mermaid(saga_of(AWKWARD), "NOTE_")
        == """\
stateDiagram-v2
    state "group, at most 3 h" as GROUP_1 {
        state "group" as GROUP_2 {
            state "START" as START_
            END_OF_PHASE
        }
        NOTE_
    }
    state "NOTE" as NOTE__
    state "END" as END_
    [*] --> START_
    START_ --> END_OF_PHASE
    START_ --> NOTE__ : on say #34;hi#34;#59;#10;#35;1 #92; a#58;b #37;#37; #60;x#62; when urgent
    END_OF_PHASE --> END_ : when all_there
    END_OF_PHASE --> NOTE__ : else
    NOTE_ --> END_
    GROUP_1 --> NOTE__ : failed
    START_ --> NOTE_ : timed_out
    END_OF_PHASE --> NOTE_ : timed_out
    NOTE_ --> NOTE_ : timed_out
    START_ --> START_ : on say #34;hi#34;#59;#10;#35;1 #92; a#58;b #37;#37; #60;x#62;
    END_OF_PHASE --> START_ : on say #34;hi#34;#59;#10;#35;1 #92; a#58;b #37;#37; #60;x#62;
    NOTE__ --> [*]
    END_ --> [*]
    classDef current font-weight:bold,stroke-width:4px
    class NOTE_ current
"""
    )


def test_dot_draws_groups_as_clusters_and_escapes_quotes() -> None:
    assert (
        dot(saga_of(AWKWARD), "NOTE_")
        == r"""digraph "migrate" {
    compound=true;
    rankdir=TB;
    node [shape=box, style=rounded, fontname="sans-serif"];
    edge [fontname="sans-serif"];
    "" [shape=point];
    subgraph "cluster_GROUP_1" {
        label="group, at most 3 h";
        subgraph "cluster_GROUP_2" {
            label="group";
            "START" [label="START\nexport, reads only"];
            "END_OF_PHASE" [label="END_OF_PHASE\nvalidate, reads only"];
        }
        "NOTE_" [label="NOTE_\nload, no undo", penwidth=4];
    }
    "NOTE" [label="NOTE\nend", peripheries=2];
    "END" [label="END\nend", peripheries=2];
    "" -> "START";
    "START" -> "END_OF_PHASE";
    "START" -> "NOTE" [label="on say \"hi\";\n#1 \\ a:b %% <x> when urgent"];
    "END_OF_PHASE" -> "END" [label="when all_there"];
    "END_OF_PHASE" -> "NOTE" [label="else"];
    "NOTE_" -> "END";
    "START" -> "NOTE" [label="failed", ltail="cluster_GROUP_1"];
    "START" -> "NOTE_" [label="timed_out"];
    "END_OF_PHASE" -> "NOTE_" [label="timed_out"];
    "NOTE_" -> "NOTE_" [label="timed_out"];
    "START" -> "START" [label="on say \"hi\";\n#1 \\ a:b %% <x>"];
    "END_OF_PHASE" -> "START" [label="on say \"hi\";\n#1 \\ a:b %% <x>"];
}
"""
    )


def test_without_a_run_nothing_is_set_off() -> None:
    assert ("class " in mermaid(saga_of(MIGRATE)), "penwidth" in dot(saga_of(MIGRATE))) == (False, False)


def test_a_table_without_time_limits_is_drawn_for_the_checker_to_name_them() -> None:
    saga: Saga[Any, Input] = saga_of("""
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=None).then(S.COMPLETED, timed_out=S.LATE)
""")

    assert '"WAITING" [label="WAITING\\nwaits for file, for ever", shape=oval];' in dot(saga)


# --- where a run is


def a_run(state: str, status: Status = "running", **undo: UndoStatus) -> Snapshot:
    entries = tuple(UndoEntry(at, name, 1, f"r.{at}", at, fate) for at, (name, fate) in enumerate(undo.items(), 1))
    return Snapshot("r", "migrate", 1, "", "{}", "ann", state=state, status=status, undo=entries)


def stays(**seconds: int) -> list[Stay]:
    return [Stay(state, timedelta(seconds=length)) for state, length in seconds.items()]


def test_the_path_line_shows_what_was_passed_where_the_run_is_and_what_lies_ahead() -> None:
    run = a_run("LOADING", EXPORTING="done", LOADING="started")

    assert path_line(Chart(saga_of(MIGRATE)), run, stays(EXPORTING=843, LOADING=7085)) == (
        "EXPORTING ✓ 14m03s ─▶ LOADING ● 1h58m ─▶ VALIDATING ─▶ ⏸ AWAITING_CUTOVER ─▶ CUTTING_OVER ─▶ COMPLETED"
    )


def test_the_path_line_of_a_rollback_shows_what_failed_and_what_is_undone() -> None:
    run = a_run("ROLLING_BACK", EXPORTING="done", LOADING="undone", VALIDATING="started")
    lengths = stays(EXPORTING=60, LOADING=90_000, VALIDATING=1, ROLLING_BACK=2)

    assert path_line(Chart(saga_of(MIGRATE)), run, lengths, ascii_only=True) == (
        "EXPORTING ok 1m -> LOADING undone 1d01h -> VALIDATING failed 1s -> ROLLING_BACK * 2s -> ROLLED_BACK"
    )


def test_the_path_line_counts_the_visits_of_a_state() -> None:
    run = a_run("LOADING", LOADING="done")
    lengths = [*stays(LOADING=1, VALIDATING=2), *stays(LOADING=3, VALIDATING=4), *stays(LOADING=5)]

    assert path_line(None, run, lengths) == "LOADING ✓ ×2 4s ─▶ VALIDATING ✓ ×2 6s ─▶ LOADING ● 5s"


@pytest.mark.parametrize(
    ("state", "status", "line"),
    [
        ("COMPLETED", "completed", "LOADING ✓ 1s ─▶ COMPLETED ✓"),
        ("ROLLED_BACK", "rolled_back", "LOADING ✓ 1s ─▶ ROLLED_BACK ■"),
    ],
)
def test_the_path_line_of_an_ended_run_says_how_it_ended(state: str, status: Status, line: str) -> None:
    run = a_run(state, status, LOADING="sealed")

    assert path_line(Chart(saga_of(MIGRATE)), run, stays(LOADING=1, **{state: 0})) == line


def test_before_the_journal_was_read_the_path_line_shows_the_state_alone() -> None:
    assert path_line(None, replace(a_run("LOADING"), revision=1), []) == "LOADING ●"


STEP, NEXT = "saga.at(S.A).run(load).reads_only()", "saga.at(S.B).run(tidy).reads_only()"


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (f"{STEP}.when(all_there, S.DONE).then(S.B)\n{NEXT}.then(S.DONE)", "A ● ─▶ B ─▶ DONE"),
        (f"{STEP}.then(S.B)\n{NEXT}.when(all_there, S.DONE).then(S.A)", "A ● ─▶ B ─▶ DONE"),
        (f"{STEP}.then(S.A, failed=S.DONE)", "A ● ─▶ DONE"),
        (f"{STEP}.then(S.A)", "A ●"),
    ],
)  # fmt: skip
def test_ahead_lies_the_way_without_a_guard_unless_only_another_leads_to_an_end(lines: str, line: str) -> None:
    assert path_line(Chart(saga_of(lines)), a_run("A"), []) == line


# --- times


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [
        (-5, "0s", "0 s"),
        (0.4, "0s", "0 s"),
        (59, "59s", "59 s"),
        (60, "1m", "1 m"),
        (843, "14m03s", "14 m 3 s"),
        (7_085, "1h58m", "1 h 58 m"),
        (86_400 + 59, "1d", "1 d"),
        (187_200, "2d04h", "2 d 4 h"),
    ],
)
def test_a_length_is_told_by_its_two_largest_units(seconds: float, short: str, long: str) -> None:
    length = timedelta(seconds=seconds)

    assert (compact(length), spaced(length)) == (short, long)


def test_a_moment_is_told_with_its_date_only_on_another_day() -> None:
    assert clock(NOON, NOON) == "12:00:00 UTC"
    assert clock(NOON - timedelta(days=1), NOON) == "2026-11-21 12:00:00 UTC"
