"""A part takes effect once, and every later call gets its result."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field
from sqlalchemy import Connection, Engine, text

from saga_engine.errors import BadInput, LedgerChanged, LedgerMissing, PayloadTooLarge, ResultNotStorable, Superseded
from saga_engine.ledger import effect, schema
from tests.ledger.support import LIMIT, Head, Loaded, apply, change, head, insert, key, loaded, part_rows

OTHER_LEDGER = "11111111-2222-3333-4444-555555555555"


def fails(db: Connection) -> Loaded:
    insert("a")(db)
    raise ZeroDivisionError("the work's own")


def must_not_be_called(db: Connection) -> Any:
    pytest.fail("the work was called")


def test_a_part_takes_effect_and_its_result_is_recorded_with_it(target: Engine) -> None:
    effect.open_head(target, key(1))
    assert apply(target, key(1), "a") == Loaded(rows=1)
    assert (loaded(target), part_rows(target)) == (["a"], [("a", "applied", 1, '{"rows":1}')])
    assert head(target) == Head("open", 1, 0)


def test_a_retry_gets_the_recorded_result_and_does_nothing(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    effect.open_head(target, key(2))
    assert apply(target, key(2), "a", must_not_be_called) == Loaded(rows=1)
    assert (loaded(target), part_rows(target)) == (["a"], [("a", "applied", 1, '{"rows":1}')])


def test_parts_of_a_step_and_the_same_part_of_other_tasks_are_different_effects(target: Engine) -> None:
    for attempt in (key(1, task="r.1"), key(1, task="r.2")):
        effect.open_head(target, attempt)
        apply(target, attempt, "a")
        apply(target, attempt, "b")
    assert (loaded(target, "r.1"), loaded(target, "r.2")) == (["a", "b"], ["a", "b"])


def test_a_step_of_one_transaction_has_a_part_without_a_name(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "")
    assert part_rows(target) == [("", "applied", 1, '{"rows":1}')]


def test_what_the_work_raises_comes_out_unchanged_and_leaves_nothing_behind(target: Engine) -> None:
    effect.open_head(target, key(1))
    with pytest.raises(ZeroDivisionError, match=r"^the work's own$"):
        apply(target, key(1), "a", fails)
    assert (loaded(target), part_rows(target)) == ([], [])
    assert apply(target, key(1), "a") == Loaded(rows=1)


def test_an_interrupt_rolls_back_as_well(target: Engine) -> None:
    def interrupted(db: Connection) -> Loaded:
        insert("a")(db)
        raise KeyboardInterrupt

    effect.open_head(target, key(1))
    with pytest.raises(KeyboardInterrupt):
        apply(target, key(1), "a", interrupted)
    assert (loaded(target), part_rows(target)) == ([], [])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"], indirect=True)
def test_ddl_is_part_of_the_transaction(target: Engine) -> None:
    def create(db: Connection) -> Loaded:
        db.execute(text("CREATE TABLE staging (id integer)"))
        db.execute(text("INSERT INTO staging VALUES (1)"))
        return fails(db)

    effect.open_head(target, key(1))
    with pytest.raises(ZeroDivisionError):
        apply(target, key(1), "a", create)
    change(target, "CREATE TABLE staging (other text)")  # would fail if it were there
    assert part_rows(target) == []


def test_a_savepoint_inside_the_work_is_the_works_own_affair(target: Engine) -> None:
    def work(db: Connection) -> Loaded:
        with db.begin_nested():
            insert("kept")(db)
        with pytest.raises(ZeroDivisionError), db.begin_nested():
            fails(db)
        return Loaded(rows=1)

    effect.open_head(target, key(1))
    apply(target, key(1), "a", work)
    assert loaded(target) == ["kept"]


def test_an_older_attempt_is_refused_once_a_newer_one_has_opened_the_head(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    effect.open_head(target, key(2))
    with pytest.raises(Superseded, match=r"attempt 2 has taken over from attempt 1$"):
        apply(target, key(1), "b", must_not_be_called)
    with pytest.raises(Superseded, match=r"attempt 2 has taken over from attempt 1$"):
        effect.open_head(target, key(1))
    assert (loaded(target), head(target)) == (["a"], Head("open", 2, 0))


def test_a_part_that_was_applied_is_refused_to_an_older_attempt_too(target: Engine) -> None:
    effect.open_head(target, key(1))
    apply(target, key(1), "a")
    effect.open_head(target, key(2))
    with pytest.raises(Superseded):
        apply(target, key(1), "a", must_not_be_called)


def test_user_code_cannot_swallow_that_it_was_superseded() -> None:
    assert not issubclass(Superseded, Exception)


def test_opening_the_head_again_changes_nothing(target: Engine) -> None:
    effect.open_head(target, key(3))
    effect.open_head(target, key(3))
    assert head(target) == Head("open", 3, 0)


def test_a_missing_ledger_is_named_with_the_command_that_makes_it_and_is_not_made(bare: Engine) -> None:
    with pytest.raises(LedgerMissing) as missing:
        effect.open_head(bare, key(1))
    assert missing.value.next_command == "saga db ledger dw"
    assert schema.identity(bare) is None


def test_a_ledger_that_vanishes_is_not_made_again(target: Engine) -> None:
    effect.open_head(target, key(1))
    for table in ("parts", "heads"):
        change(target, f"DROP TABLE {{ledger}}.saga_ledger_{table}")
    change(target, "DROP TABLE {ledger}.saga_ledger")
    with pytest.raises(LedgerMissing):
        apply(target, key(1), "a")
    assert (loaded(target), schema.identity(target)) == ([], None)


def test_another_ledger_than_the_runs_own_is_refused(target: Engine) -> None:
    uuid = schema.identity(target)
    effect.open_head(target, key(1, ledger=uuid))
    apply(target, key(1, ledger=uuid), "a")
    change(target, f"UPDATE {{ledger}}.saga_ledger SET uuid = '{OTHER_LEDGER}'")
    with pytest.raises(LedgerChanged, match=f"its uuid is {OTHER_LEDGER}, not {uuid}"):
        apply(target, key(1, ledger=uuid), "b", must_not_be_called)
    with pytest.raises(LedgerChanged):
        effect.open_head(target, key(2, ledger=uuid))
    assert (loaded(target), head(target)) == (["a"], Head("open", 1, 0))


def test_a_ledger_that_has_forgotten_the_step_is_refused(target: Engine) -> None:
    effect.open_head(target, key(1))
    change(target, "DELETE FROM {ledger}.saga_ledger_heads")
    with pytest.raises(LedgerChanged, match="it has no row of"):
        apply(target, key(1), "a", must_not_be_called)


def test_a_ledger_row_that_goes_away_under_the_work_rolls_it_back(target: Engine) -> None:
    def work(db: Connection) -> Loaded:
        insert("a")(db)
        name = "saga_ledger.saga_ledger_parts" if db.dialect.name == "postgresql" else "saga_ledger_parts"
        db.execute(text(f"DELETE FROM {name}"))
        return Loaded(rows=1)

    effect.open_head(target, key(1))
    with pytest.raises(LedgerChanged, match="went away while its work ran"):
        apply(target, key(1), "a", work)
    assert loaded(target) == []


class Wide(BaseModel):
    text: str


def test_a_result_over_the_limit_rolls_the_part_back(target: Engine) -> None:
    def work(db: Connection) -> Wide:
        insert("a")(db)
        return Wide(text="ä" * 600)

    effect.open_head(target, key(1))
    with pytest.raises(PayloadTooLarge) as large:
        effect.apply(target, key(1), "a", work, Wide.model_validate_json, limit=LIMIT)
    assert (large.value.facts["size"], large.value.facts["limit"]) == (1211, 1000)
    assert (loaded(target), part_rows(target)) == ([], [])


def test_a_result_of_exactly_the_limit_is_stored(target: Engine) -> None:
    effect.open_head(target, key(1))
    wide = Wide(text="x" * (LIMIT - len('{"text":""}')))
    assert effect.apply(target, key(1), "a", lambda _: wide, Wide.model_validate_json, limit=LIMIT) == wide


class Numbers(BaseModel):
    ratio: float
    secret: str = "canary"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"rows": 1}, "it is a dict"),
        (Numbers(ratio=float("nan")), "NaN and infinity are no JSON"),
        (Numbers.model_construct(ratio="canary"), "it does not read back (ratio: float_parsing)"),
        (Numbers.model_construct(ratio=object()), "Unable to serialize unknown type: <class 'object'>"),
    ],
    ids=["no model", "not a number", "not of its type", "no JSON"],
)
def test_a_result_that_is_not_json_rolls_the_part_back_and_its_values_are_not_told(
    target: Engine, value: object, reason: str
) -> None:
    def work(db: Connection) -> Any:
        insert("a")(db)
        return value

    effect.open_head(target, key(1))
    with pytest.raises(ResultNotStorable) as refused:
        effect.apply(target, key(1), "a", work, Numbers.model_validate_json, limit=LIMIT)
    assert (refused.value.facts["reason"], refused.value.facts["what"]) == (reason, "work")
    assert "canary" not in str(refused.value)
    assert (loaded(target), part_rows(target)) == ([], [])


class Named(BaseModel):
    row_count: int = Field(alias="rowCount")


def test_a_model_with_aliases_reads_back(target: Engine) -> None:
    effect.open_head(target, key(1))
    first = effect.apply(target, key(1), "a", lambda _: Named(rowCount=7), Named.model_validate_json, limit=LIMIT)
    again = effect.apply(target, key(1), "a", must_not_be_called, Named.model_validate_json, limit=LIMIT)
    assert (first, again) == (Named(rowCount=7), Named(rowCount=7))


def test_a_result_of_none_is_recorded_and_comes_back(target: Engine) -> None:
    def nothing(json: str) -> None:
        assert json == "null"

    effect.open_head(target, key(1))
    effect.apply(target, key(1), "a", lambda _: None, nothing, limit=LIMIT)
    effect.apply(target, key(1), "a", must_not_be_called, nothing, limit=LIMIT)
    assert part_rows(target) == [("a", "applied", 1, "null")]


@pytest.mark.parametrize("part", ["x" * 501, "nul\0"])
def test_a_part_whose_name_the_ledger_cannot_hold_is_refused(target: Engine, part: str) -> None:
    effect.open_head(target, key(1))
    with pytest.raises(BadInput, match="at most 500 characters and no NUL"):
        apply(target, key(1), part, must_not_be_called)


def test_parts_whose_names_differ_in_one_byte_are_different_effects(target: Engine) -> None:
    names = ["a", "A", "a ", " a", "ä", "a\u0308", "\u00e4 ", "ß", "ss"]
    effect.open_head(target, key(1))
    for name in names:
        apply(target, key(1), name)
    assert [name for name, *_ in part_rows(target)] == names


def test_a_part_may_have_as_many_characters_as_are_promised(target: Engine) -> None:
    for name in ("x" * 500, "🐘" * 500):
        effect.open_head(target, key(1))
        apply(target, key(1), name)
        assert apply(target, key(1), name, must_not_be_called) == Loaded(rows=1)
    assert sorted(loaded(target)) == ["x" * 500, "🐘" * 500]


def test_a_result_of_a_mebibyte_is_kept(target: Engine) -> None:
    wide = Wide(text="x" * 2**20)
    effect.open_head(target, key(1))
    limit = 2 * 2**20
    effect.apply(target, key(1), "a", lambda _: wide, Wide.model_validate_json, limit=limit)
    assert effect.apply(target, key(1), "a", must_not_be_called, Wide.model_validate_json, limit=limit) == wide


def test_names_and_results_with_quotes_and_other_scripts_are_kept(target: Engine) -> None:
    part = 'o\'brien "x" \\ % :a 日本 🐘 \n'
    effect.open_head(target, key(1))
    wide = Wide(text=part + "\x00")
    assert effect.apply(target, key(1), part, lambda _: wide, Wide.model_validate_json, limit=LIMIT) == wide
    assert effect.apply(target, key(1), part, must_not_be_called, Wide.model_validate_json, limit=LIMIT) == wide
