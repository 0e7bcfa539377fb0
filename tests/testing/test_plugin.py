"""pytest finds the fixtures by itself; where nobody asks for them, it pays for nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

SAGA = """
from enum import Enum
from saga_engine import Frozen, Saga, Step

S = Enum("S", "ONE DONE")
class Input(Frozen):
    n: int
class Doubled(Frozen):
    n: int
def double(step: Step[Input]) -> Doubled:
    return Doubled(n=step.input.n * 2)
saga = Saga("double", version=1, states=S, input=Input, start=S.ONE)
saga.at(S.ONE).run(double).then(S.DONE)
saga.final(S.DONE)
"""


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_user_asks_for_the_fixture_and_has_a_harness(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        doubling=SAGA,
        test_doubling="""
        from doubling import Input, S, saga

        def test_it_doubles(saga_harness):
            harness = saga_harness(saga)
            run = harness.start(saga, Input(n=4))
            assert harness.kill_at(run, S.ONE).results == {}
            assert harness.run_until(run, S.DONE).results == {"ONE": {"n": 8}}
            harness.assert_journal(run)

        def test_two_harnesses_share_a_store(saga_harness):
            run = saga_harness(saga).start(saga, Input(n=4))
            assert saga_harness(saga).get(run.id) == run

        def test_the_next_test_has_a_store_of_its_own(saga_harness):
            assert saga_harness(saga).find().items == ()
        """,
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(passed=3)


def test_a_user_says_where_the_store_is(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("""
        import pytest

        @pytest.fixture
        def saga_store_url(tmp_path):
            return f"sqlite:///{tmp_path}/mine.db"
    """)
    pytester.makepyfile("""
        def test_it_is_there(saga_harness, tmp_path):
            saga_harness()
            assert (tmp_path / "mine.db").exists()
    """)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_test_that_fails_has_its_assertion_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        doubling=SAGA,
        test_doubling="""
        from doubling import Input, saga

        def test_it_rolls_back(saga_harness):
            harness = saga_harness(saga)
            harness.run_until(harness.start(saga, Input(n=4)), "rolled_back")
        """,
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: the run does not come to rolled_back: double-* is in DONE (completed)",
            "E *path: ONE*DONE",
        ]
    )


def test_pytest_lists_the_fixtures_with_what_they_are_for(pytester: pytest.Pytester) -> None:
    lines = pytester.runpytest_subprocess("--fixtures", "-p", "no:cacheprovider").stdout
    lines.fnmatch_lines(["saga_store_url -- *", "saga_harness -- *"])


def test_who_tests_no_saga_pays_for_nothing() -> None:
    heavy = "[name for name in ('sqlalchemy', 'pydantic', 'transitions', 'structlog') if name in sys.modules]"
    assert python(f"import sys, saga_engine.testing.plugin; print({heavy})") == "[]"


def test_who_has_no_pytest_is_not_told_to_get_it() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; from saga_engine.testing import Harness, UnitStep, step; print(step)"
    )
    assert python(code).startswith("<function step")
