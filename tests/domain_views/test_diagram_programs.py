"""Drawings for Mermaid and Graphviz say what the table says, in a form that the program takes."""

from __future__ import annotations

from typing import Any

from saga_engine.domain.definition.saga import Saga
from saga_engine.domain.diagram import dot, mermaid
from tests.domain_views.sagas import MIGRATE, Input, saga_of

AWKWARD = """
odd = Event('say "hi";\\n#1 \\\\ a:b %% <x>', Abort, unhandled="reject")
saga.at(S.START).run(export, timeout=hours(1)).reads_only().on(odd, S.NOTE, when=urgent).then(S.END_OF_PHASE)
saga.at(S.END_OF_PHASE).run(validate, timeout=hours(1)).reads_only().when(all_there, S.END).then(S.NOTE)
saga.at(S.NOTE_).run(load, timeout=hours(1)).then(S.END)
saga.group(S.START, S.END_OF_PHASE, S.NOTE_, deadline=hours(3)).then(failed=S.NOTE, timed_out=S.NOTE_)
saga.group(S.START, S.END_OF_PHASE).on(odd, S.START).then()
"""
"""Quotes, breaks and signs in a name, states called like words of Mermaid, groups in groups and ways into them."""


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
