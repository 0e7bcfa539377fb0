"""Which hits `saga test` tries, where a run has more of them than it may kill at."""

from __future__ import annotations

from random import Random

from saga_engine.testing.everywhere.choosing import chosen
from saga_engine.testing.kills.hits import Hit, numbered

OPEN = ["store.open", "worker.begin"]


def acted(statements: int, *, parts: int = 0) -> list[str]:
    """What an attempt comes to: *parts* effects, then *statements* of its own."""
    part = ["ledger.part.after_insert", "user.statement", "ledger.part.before_commit", "ledger.part.after_commit"]
    return ["runtime.action.before", *part * parts, *["user.statement"] * statements, "runtime.action.after"]


def tried(names: list[str], most: int) -> list[Hit]:
    return chosen(numbered(names), most, Random(1))


def test_a_step_of_many_statements_leaves_room_for_the_ends_of_all_steps_and_a_statement_of_each() -> None:
    names = [*OPEN, *acted(1_000), "store.record", *acted(1_000), "store.record", *acted(1)]
    found = tried(names, 12)
    assert found[:6] == [Hit(f"runtime.action.{end}", n) for n in (1, 2, 3) for end in ("before", "after")]
    statements = [hit.nth for hit in found[6:9]]
    assert [hit.name for hit in found[6:9]] == ["user.statement"] * 3
    assert [statements[0] <= 1_000, 1_000 < statements[1] <= 2_000, statements[2]] == [True, True, 2_001]
    assert len(found) == len(set(found)) == 12


def test_the_commits_of_effects_come_before_a_second_statement_of_a_step() -> None:
    found = tried(acted(500, parts=3), 12)
    commits = [Hit(f"ledger.part.{end}_commit", n) for n in (1, 2, 3) for end in ("before", "after")]
    assert set(commits) <= set(found)
    assert Hit("ledger.part.before_commit", 1) in found


def test_what_is_left_goes_to_the_users_code_and_to_the_engine_in_turn() -> None:
    names = [*acted(500), *["store.record"] * 500]
    found = tried(names, 43)
    rest = [hit.name for hit in found[3:]]
    assert (rest.count("user.statement"), rest.count("store.record")) == (20, 20)


def test_more_boundaries_than_may_be_tried_are_sampled_over_the_whole_run() -> None:
    found = tried(acted(0) * 500, 50)
    assert len(found) == 50
    assert max(hit.nth for hit in found) > 300


def test_where_all_may_be_tried_all_are_and_the_same_seed_chooses_the_same() -> None:
    names = [*OPEN, *acted(10, parts=2)]
    assert sorted(tried(names, 1_000)) == sorted(numbered(names))
    assert tried(names, 9) == tried(names, 9)
