"""What a person types for a run: an exact run key is never taken for the end of somebody else's name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from saga_engine import errors
from saga_engine.runtime import ids
from saga_engine.runtime.engine import Engine
from saga_engine.runtime.views import RunView
from tests.runtime import plays
from tests.runtime.conftest import Opened
from tests.runtime.plays import Input


@pytest.fixture
def engine(opened: Opened) -> Engine:
    return opened(plays.saga())


def started(engine: Engine, key: str | None = None) -> RunView:
    return engine.start("play", Input(), key=key)


def refusal(engine: Engine, typed: str) -> str:
    with pytest.raises(errors.AmbiguousName) as error:
        engine.resolve_name(typed)
    return str(error.value)


def test_a_run_key_that_looks_like_a_suffix_or_an_id_is_a_run_key(engine: Engine) -> None:
    runs = {key: started(engine, key) for key in ("2021", "ffff", "orders-2021", "play-zzzzzz", "@play2", "f" * 32)}
    assert {key: engine.resolve_name(key) for key in runs} == {key: run.id for key, run in runs.items()}


@pytest.mark.parametrize("form", ["suffix", "longer", "beginning", "id", "shorter"])
def test_a_run_key_that_is_also_a_form_of_another_runs_name_is_refused_with_a_way_to_say_either(
    engine: Engine, form: str
) -> None:
    other = started(engine)
    tag = ids.tag_of(other.id)
    typed = {
        "suffix": tag[:5][::-1],
        "longer": tag[:9][::-1],
        "beginning": other.name[:-1],
        "id": other.id[:14],
        "shorter": f"play-{tag[:4][::-1]}",
    }[form]
    keyed = started(engine, typed)
    told = refusal(engine, typed)
    assert told == (
        f"{typed} is the run key of {keyed.name}, and fits {other.name} too: say {keyed.name} or {other.name}"
    )
    assert [engine.resolve_name(name) for name in (keyed.name, other.name)] == [keyed.id, other.id]


def test_where_the_run_key_is_the_other_runs_whole_short_name_that_one_is_said_by_its_id(engine: Engine) -> None:
    other = started(engine)
    keyed = started(engine, other.name)
    assert refusal(engine, other.name) == (
        f"{other.name} is the run key of {keyed.name}, and fits {other.id} too: say {keyed.name} or {other.id}"
    )


def test_a_whole_id_names_its_run_whatever_anybodys_run_key_is(engine: Engine) -> None:
    other = started(engine)
    started(engine, other.id)
    assert engine.resolve_name(other.id) == engine.get(other.id).id == other.id


def test_a_run_key_and_another_name_of_the_same_run_are_one(engine: Engine) -> None:
    only = started(engine, "@play")
    assert engine.resolve_name("@play") == only.id
    latest = started(engine)
    assert refusal(engine, "@play") == (
        f"@play is the run key of {only.name}, and fits {latest.name} too: say {only.name} or {latest.name}"
    )


def test_the_key_of_a_run_that_was_pruned_is_no_form_of_another_runs_name(engine: Engine) -> None:
    """Whoever types it means that run, and would cancel a stranger's."""
    other = started(engine)
    typed = ids.tag_of(other.id)[:5][::-1]
    started(engine, typed)
    engine.pause(other.id)
    engine.work(until_idle=True)
    assert engine.prune(timedelta(0)).runs == 1
    with pytest.raises(errors.RunNotFound, match=f"was pruned. It fits {other.name} too") as refused:
        engine.resolve_name(typed)
    assert refused.value.exit_code == 3
    assert engine.resolve_name(other.name) == other.id
