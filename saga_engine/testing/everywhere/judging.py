"""Whether a run that was killed has ended as one that was left alone, and if not, which step broke which promise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from saga_engine.domain.chart import Chart
from saga_engine.domain.definition.table import Run
from saga_engine.testing.everywhere.naming import Unnamed
from saga_engine.testing.everywhere.tables import Table

SHOWN_CHARACTERS: Final = 60

PLACES: Final = {
    "runtime.action.before": "before its function was called",
    "runtime.action.after": "after its function had returned, before that was recorded",
    "user.statement": "after {statement} …, before the next statement or commit",
    "ledger.part.after_insert": "before the work of its effect",
    "ledger.part.after_work": "after {statement} …, before its ledger row",
    "ledger.part.before_commit": "after the work of its effect, before the commit",
    "ledger.part.after_commit": "after its effect was committed, before that was recorded",
    "ledger.undo.part.after_work": "after {statement} …, before the ledger row of the undo",
    "ledger.undo.part.before_commit": "after the work of the undo, before its commit",
    "ledger.undo.part.after_commit": "after the undo of its effect was committed, before that was recorded",
}
"""What failpoints mean to whoever wrote the step; ``{statement}`` is the user's last one."""
BREAKS: Final = {
    "idempotent": "{state} is not idempotent",
    "effect": "{state} does not take effect exactly once",
    "verified": "{state} does something that its probe does not see",
    "manual": "{state} is done more than once",
    "reads_only": "{state} does not only read",
    "undo": "the undo of {state} does not bear being run twice",
    "notice": "the notice of {state} does not bear being sent twice",
    "alone": "a run that nobody has killed does not end as those before it",
    "": "{state} does not bear a crash",
}
IN_DOUBT: Final = "W23"
ASK_A_PERSON: Final = ("manual", "verified")
"""Promises that are kept by a run that parks because nobody knows what the step did."""


@dataclass(frozen=True, slots=True)
class End:
    """How a run has ended, and what it has left behind."""

    state: str
    status: str
    results: Mapping[str, Any]
    parts: list[str]
    """Of the ledgers."""
    tables: Mapping[str, Table]
    """``connection.table``."""
    notices: list[str] = field(default_factory=list)
    """Those that are left of an ended run, each with why: it has failed, or is parked."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """The end of a run that was left alone, less what two such runs do not have in common."""

    end: End
    ignored_results: frozenset[str]
    ignored_columns: Mapping[str, frozenset[str]]
    unnamed: Unnamed
    """The tables that two such runs call differently."""
    ignores_parts: bool = False

    @classmethod
    def of(cls, one: End, other: End) -> Yardstick:
        """What *one* and *other* differ in is by chance, by the clock or by the run's name: it is not compared."""
        results = {state for state in one.results if one.results[state] != other.results.get(state)}
        columns = {
            name: frozenset(
                column for column in table.columns if table.column(column) != other.tables[name].column(column)
            )
            for name, table in one.tables.items()
            if name in other.tables and table.columns == other.tables[name].columns
        }
        return cls(
            end=one,
            ignored_results=frozenset(results),
            ignored_columns={name: found for name, found in columns.items() if found},
            unnamed=Unnamed.of(one.tables, other.tables),
            ignores_parts=one.parts != other.parts,
        )

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What was left out, for people."""
        columns = [f"{table}.{column}" for table, found in self.ignored_columns.items() for column in sorted(found)]
        parts = ("the parts of the ledgers",) if self.ignores_parts else ()
        results = (f"the result of {state}" for state in sorted(self.ignored_results))
        return (*results, *parts, *sorted(columns), *self.unnamed.not_compared)

    def differences(self, found: End) -> Iterator[str]:
        """What *found* has otherwise, as ends of a sentence that begins with when it was killed."""
        if (found.state, found.status) != (self.end.state, self.end.status):
            yield f"the run ended {found.status} in {found.state}, not {self.end.status} in {self.end.state}"
        for name in sorted(self.unnamed.common):
            yield from self._of_table(name, found)
        yield from self.unnamed.differences(found.tables)
        for state in sorted({*self.end.results, *found.results} - self.ignored_results):
            if self.end.results.get(state) != found.results.get(state):
                was, now = (_brief(end.results.get(state)) for end in (self.end, found))
                yield f"the result of {state} was {now}, not {was}"
        if found.parts != self.end.parts and not self.ignores_parts:
            now, was = (", ".join(parts) or "nothing" for parts in (found.parts, self.end.parts))
            yield f"the ledger holds {now}, not {was}"
        if found.notices != self.end.notices:
            now, was = (", ".join(notices) or "nothing" for notices in (found.notices, self.end.notices))
            yield f"left undone was {now}, not {was}"

    def _of_table(self, name: str, found: End) -> Iterator[str]:
        ours, theirs = self.end.tables[name], found.tables.get(name)
        if theirs is None:
            yield f"the table {name} was gone"
            return
        ignored = self.ignored_columns.get(name, frozenset())
        was, now = ours.without(ignored).rows, theirs.without(ignored).rows
        more, less = (now - was).total(), (was - now).total()
        if more and not less:
            twice = all(row in was for row in now - was)
            yield f"it wrote {_rows(more)} {'twice' if twice else 'too many'} into {name}"
        elif less and not more:
            yield f"{_rows(less)} of {name} {'was' if less == 1 else 'were'} missing"
        elif more:
            yield f"{_rows(more)} of {name} {'was' if more == 1 else 'were'} not as without the kill"


def promise_of(chart: Chart, state: str, kind: str) -> str:
    """Which promise covers what a run was at: a key of ``BREAKS``."""
    if kind == "undo":
        return "undo"
    if kind in ("entering", "leaving"):
        return "notice"
    activity = chart.activity(state) if state in chart.rows else None
    if kind != "step" or not isinstance(activity, Run):
        return ""
    return "reads_only" if activity.safety == "reads_only" else activity.promise


def place(point: str, statement: str) -> str:
    """Where a process was killed, in words."""
    return PLACES.get(point, f"at {point}").format(statement=statement or "its last statement")


def _rows(number: int) -> str:
    return f"{number:,} row{'' if number == 1 else 's'}"


def _brief(value: Any) -> str:  # noqa: ANN401  any JSON
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
