"""Bugs that break the protocol, each a small change of the engine's source, and what is meant to find it.

*rules* are those of the checker that one of the first seeds of the simulation must break. Where the simulation cannot
see it (it has no second session that waits for a lock, and one process only), *test* names the test that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.planted.planting import Edit

SEEDS_MAX: Final = 400
"""So many seeds have to do."""

FENCED: Final = "reports are fenced"
EFFECTS: Final = "effects once, or undone"
BUSINESS: Final = "business rows are the model's"
ONCE: Final = "a manual step begins once"
HELD_ONCE: Final = "a task is held by one"
REST: Final = "the run comes to rest"
TOLD: Final = "what was acknowledged is kept"
QUEUED: Final = "tasks are queued in order"
PAUSE: Final = "a pause holds"
BREAKS: Final = "the engine breaks"
"""A constraint of the store, or an assertion of the engine, stops it."""
TOKENS: Final = "no write by an older attempt"


@dataclass(frozen=True, slots=True)
class Bug:
    """What is changed, and who finds it: one of *rules* in the simulation, or *test*."""

    edits: tuple[Edit, ...]
    rules: tuple[str, ...] = ()
    test: str = ""
    first: int = 0
    """The seed to begin with: one that finds it soon. Any other does, too, after a while."""
    server: bool = False
    """The test needs PostgreSQL."""


def found(rule: str | tuple[str, ...], *edits: Edit, first: int = 0) -> Bug:
    """A bug that the simulation finds."""
    return Bug(edits, (rule,) if isinstance(rule, str) else rule, first=first)


def tested(test: str, *edits: Edit) -> Bug:
    """A bug that a test of its own finds."""
    return Bug(edits, test=test)


def on_a_server(test: str, *edits: Edit) -> Bug:
    """The same, of what is done on PostgreSQL only."""
    return Bug(edits, test=test, server=True)


RECORD: Final = "saga_engine.store.record"
GUARD: Final = "saga_engine.store.guard"
AT_ONCE: Final = "tests/store/test_at_once.py"
CLAIMS: Final = "saga_engine.store.claims"
TASKS: Final = "saga_engine.store.tasks"
HEADS: Final = "saga_engine.ledger.heads"
EFFECT: Final = "saga_engine.ledger.effect"
UNWIND: Final = "saga_engine.domain.unwind"
MOVING: Final = "saga_engine.domain.moving"
ATTEMPTS: Final = "saga_engine.domain.attempts"
EVOLVE: Final = "saga_engine.domain.evolve"
APPROVALS: Final = "saga_engine.domain.approvals"
DELIVER: Final = "saga_engine.runtime.deliver"
INCARNATION: Final = "saga_engine.runtime.incarnation"
IN_DOUBT: Final = "            kept = certain(self.store, lambda db: journal.holds(db, entry, at), doubt)\n"
UNMOVED: Final = "    return locked.fences == {task.name: (task.attempt, task.leased_by) for task in before.tasks}\n"

BUGS: Final[Mapping[str, Bug]] = {
    # --- the store: claim and record
    "revision check only": found(
        (TOKENS, FENCED, BUSINESS, ONCE),
        Edit(RECORD, UNMOVED, "    return True\n"),
        first=22,
    ),
    "a move is not looked for": found(
        (BREAKS, "the journal is whole", "the journal can be replayed", TOLD),
        Edit(RECORD, "    if locked is None or locked.head.revision != before.revision:\n", "    if locked is None:\n"),
    ),
    "worker clock instead of database clock": found(
        (REST, "nothing happens before it is due", "the journal is whole"),
        Edit(
            "saga_engine.runtime.claiming",
            "self._looked_at = now = self._store.clock(db)",
            "self._looked_at = now = datetime.now().astimezone()",
        ),
    ),
    "a claim takes what others hold": found(
        HELD_ONCE,
        Edit(CLAIMS, "    tasks.c.leased_by.is_(None),\n    tasks.c.due_at", "    tasks.c.due_at"),
        Edit(
            CLAIMS,
            "tasks.c.name.in_(select(due.c.name)), tasks.c.leased_by.is_(None), living",
            "tasks.c.name.in_(select(due.c.name)), living",
        ),
    ),
    "tasks of the living are freed": found(
        HELD_ONCE,
        Edit(
            CLAIMS,
            "sa.and_(tasks.c.leased_by.is_not(None), incarnations.c.ended_at.is_not(None))",
            "sa.and_(tasks.c.leased_by.is_not(None), incarnations.c.id.is_not(None))",
        ),
    ),
    "who lost a task is forgotten": found(
        ONCE,
        Edit(
            CLAIMS, '        "runner": f"{row.host} pid {row.pid}" if crashed else None,\n', '        "runner": None,\n'
        ),
        first=540,
    ),
    "the ended claim": tested(
        "tests/store/test_claims.py::test_an_incarnation_that_has_ended_gets_nothing",
        Edit(CLAIMS, "tasks.c.leased_by.is_(None), living)", "tasks.c.leased_by.is_(None))"),
    ),
    "renewal after the end": tested(
        "tests/store/test_incarnations.py::test_no_renewal_brings_back_who_has_ended",
        Edit(
            "saga_engine.store.incarnations",
            '    .where(incarnations.c.id == bindparam("me"), incarnations.c.ended_at.is_(None))\n',
            '    .where(incarnations.c.id == bindparam("me"))\n',
        ),
    ),
    "crashes are not counted": tested(
        "tests/store/test_claims.py::test_crashes_add_up",
        Edit(CLAIMS, '        "crash": int(crashed),\n', '        "crash": 0,\n'),
    ),
    "hints without the attempt": tested(
        "tests/store/test_tasks.py::test_who_does_not_hold_the_attempt_changes_nothing",
        Edit(
            TASKS,
            '    tasks.c.name == bindparam("ta"), tasks.c.attempt == bindparam("at"), tasks.c.leased_by == bindparam("me")\n',  # noqa: E501
            '    tasks.c.name == bindparam("ta"), tasks.c.leased_by == bindparam("me")\n',
        ),
    ),
    "a lost claim is never handed back": found(
        REST,
        Edit(
            INCARNATION,
            "            tasks.release(db, self.id, sorted((forgotten & self._forgotten) - set(self._mine())), now)\n",
            "",
        ),
    ),
    "what was handed back is begun with": tested(
        "tests/runtime/test_worker_rest.py::test_what_two_renewals_have_handed_back_before_it_began_is_not_begun",
        Edit(INCARNATION, "return self.trusted and lease not in self._handed_back", "return self.trusted"),
    ),
    "begun before it arrives, and when it does": tested(
        "tests/runtime/test_places.py::test_what_the_worker_reads_before_it_arrives_is_begun_once",
        Edit("saga_engine.runtime.worker", " and not self._places.awaits(run, task)", ""),
    ),
    "the journal's hash is not chained": tested(
        "tests/testing/test_check.py::test_a_line_that_was_forged_together_with_its_hash_is_found_by_the_next",
        Edit("saga_engine.store.entry", "hashlib.sha256(previous + text)", "hashlib.sha256(text)"),
    ),
    # --- COMMIT without an answer
    "acknowledged before commit": found(TOLD, Edit(DELIVER, IN_DOUBT, "            kept = bool(doubt)\n")),
    "blind retry at commit": found(TOLD, Edit(DELIVER, IN_DOUBT, "            kept = not doubt\n")),
    "nothing is closed behind a person's word": tested(
        "tests/runtime/test_closing.py::test_a_late_attempt_cannot_add_to_what_was_skipped",
        Edit(
            "saga_engine.runtime.closing",
            "                shut(targets.engine(name), key, 1)\n",
            "                pass\n",
        ),
    ),
    "what broke at its commit was not written": tested(
        "tests/runtime/test_together.py::test_what_broke_at_the_commit_is_asked_after",
        Edit("saga_engine.runtime.together", 'commit" if back is not None else', 'commit" if not batch else'),
    ),
    "a batch in doubt is taken for recorded": tested(
        "tests/runtime/test_recorder.py::test_after_a_lost_answer_nothing_is_assumed_and_nothing_is_done_twice",
        Edit("saga_engine.runtime.recorder", "            return entries\n", "            return []\n"),
    ),
    "one statement compares no attempt": on_a_server(
        f"{AT_ONCE}::test_whatever_differs_nothing_is_written",
        Edit(GUARD, "        tasks.attempt == fence.c.attempt,\n", ""),
    ),
    "one statement compares no holder": on_a_server(
        f"{AT_ONCE}::test_whatever_differs_nothing_is_written",
        Edit(GUARD, "        tasks.leased_by.is_not_distinct_from(fence.c.holder),\n", ""),
    ),
    "one statement writes in part": on_a_server(
        f"{AT_ONCE}::test_nothing_is_written_of_several_where_one_has_moved_and_then_the_others_are",
        Edit(GUARD, "sa.and_(all_runs, all_tasks)", "sa.or_(all_runs, all_tasks)"),
    ),
    "one statement whose answer was lost is taken for refused": on_a_server(
        f"{AT_ONCE}::test_the_end_of_the_session_leaves_the_outcome_unknown",
        Edit(
            "saga_engine.store.postgres",
            "                if trouble.refused_commit(error):\n",
            "                if True:\n",
        ),
    ),
    # --- the target
    "no head row": tested(
        "tests/ledger/test_undo.py::"
        "test_a_late_part_of_an_attempt_that_had_opened_the_head_is_refused_after_the_undo_began",
        Edit(EFFECT, "        heads.require_open(db, key)\n", ""),
    ),
    "the attempt is not compared in the target": tested(
        "tests/ledger/test_effect.py::test_an_older_attempt_is_refused_once_a_newer_one_has_opened_the_head",
        Edit(HEADS, "    if head.token != key.token:\n", "    if head.token < 0:\n"),
    ),
    "deleted instead of a tombstone": found(
        (EFFECTS, BUSINESS, "touched targets are known"),
        Edit(
            HEADS,
            'heads.update().where(OURS).values(status="undone", undone_at=clock())',
            "heads.delete().where(OURS)",
        ),
    ),
    "part row after the work": found(
        BUSINESS,
        Edit(
            EFFECT,
            "        if not parts.intend(db, key, part):\n            return _recorded(db, key, part, parse, what)\n",
            "",
        ),
        Edit(
            EFFECT,
            "        value = transaction.call(db, work)\n",
            "        value = transaction.call(db, work)\n        if not parts.intend(db, key, part):\n            return _recorded(db, key, part, parse, what)\n",  # noqa: E501
        ),
    ),
    "targets are not noted": found(
        ("touched targets are known", EFFECTS),
        Edit("saga_engine.store.effects", "        db.execute(_TOUCH, row)\n", "        assert row\n"),
    ),
    # --- undo
    "undo in forward order": found(
        "undos are the reverse of the starts",
        Edit(
            UNWIND,
            "return max(left, key=lambda entry: entry.position, default=None)",
            "return min(left, key=lambda entry: entry.position, default=None)",
        ),
        first=30,
    ),
    "a step is taken for undone": found(
        "undo entries have their cause",
        Edit(UNWIND, "    elif draft.chart.run_of(entry.state).undo is None:\n", "    elif entry is not None:\n"),
    ),
    "undo of what is sealed": found(
        ("undos are the reverse of the starts", "undo entries change once"),
        Edit(
            UNWIND,
            "if entry.is_left and entry.position >= run.rollback_floor]",
            'if entry.status in ("started", "done", "sealed") and entry.position >= run.rollback_floor]',
        ),
        first=500,
    ),
    "a rollback stops at what another one has undone": tested(
        "tests/domain/test_undo.py::"
        "test_a_second_rollback_to_a_state_does_not_stop_at_a_visit_that_the_first_one_undid",
        Edit(EVOLVE, "if x.state == turn.to and x.is_left)", "if x.state == turn.to)"),
    ),
    "cancel past the pivot": found(
        "moves are ways of the definition",
        Edit(UNWIND, "    if sealed is not None:\n", "    if sealed is not None and sealed.position < 0:\n"),
        first=159,
    ),
    "undo pushed after the start": found(
        QUEUED,
        Edit(
            MOVING,
            "            draft.emit(c.PushUndo(len(draft.run.undo) + 1, target, task.visit, task.name))\n",
            "            assert task\n",
        ),
        Edit(
            ATTEMPTS,
            '    entry = draft.run.entry(task.name)\n    assert entry is not None, "a step is on the undo stack from before its start"\n',  # noqa: E501
            "    draft.emit(c.PushUndo(len(draft.run.undo) + 1, task.state, task.visit, task.name))\n    entry = draft.run.undo[-1]\n",  # noqa: E501
        ),
    ),
    # --- moving on
    "leaving after entering": found(
        QUEUED,
        Edit(
            MOVING,
            '    if was_open and draft.chart.rows[source].leaving:\n        draft.queue("leaving", source, visit)  # of the visit that ended, also when the state is entered again\n',  # noqa: E501
            "",
        ),
        Edit(
            MOVING,
            '        draft.queue("entering", target, draft.run.visit)\n',
            '        draft.queue("entering", target, draft.run.visit)\n'
            '    if was_open and draft.chart.rows[source].leaving:\n        draft.queue("leaving", source, visit)\n',
        ),
    ),
    "a lost attempt is taken for the last failure": found(
        "moves have their cause",
        Edit(
            ATTEMPTS,
            "    elif loss.crashes >= draft.budget.crashes:\n",
            '    elif task.kind == "step" and moving.take(draft, "failed", None, task):\n        pass\n'
            "    elif loss.crashes >= draft.budget.crashes:\n",
        ),
    ),
    "a timer outlives its state": found(
        ("what stands beside the line belongs there", "an ended run waits for nothing"),
        Edit(
            MOVING,
            "            if not _outlives(draft, task, target):\n",
            "            if _outlives(draft, task, target):\n",
        ),
    ),
    "a result that nobody wants is kept": found(
        ("moves are ways of the definition", "undo entries change once", "work is done in turn", QUEUED),
        Edit(
            ATTEMPTS,
            '    if task.ending:\n        ended(draft, task)\n    elif task.kind == "step":\n',
            '    if task.kind == "step":\n',
        ),
    ),
    "no budget": found(
        "budgets hold",
        Edit(MOVING, "    if visits >= visits_max(draft, target):\n", "    if visits > 100:\n"),
        first=52,
    ),
    "no pause before a retry": found(
        "failures are counted",
        Edit(ATTEMPTS, "    return base + base * JITTER * (crc32(", "    return base * 0 * (crc32("),
        first=22,
    ),
    "failures are not counted": found(
        "failures are counted",
        Edit(
            ATTEMPTS,
            "        draft.emit(c.SetDue(task.name, draft.now + _delay(draft, task), task.failures + 1, failure.error))\n",  # noqa: E501
            "        draft.emit(c.SetDue(task.name, draft.now + _delay(draft, task), task.failures, failure.error))\n",
        ),
        first=20,
    ),
    "a manual step is begun again": tested(
        "tests/domain/test_attempts.py::test_a_lost_attempt_of_a_manual_step_is_in_doubt",
        Edit(
            ATTEMPTS,
            "    elif missing and in_doubt_by_promise(draft, task):\n",
            "    elif missing and draft.run.ended:\n",
        ),
    ),
    # --- pauses
    "a paused run takes up work": found(
        PAUSE,
        Edit(EVOLVE, "    return (None, due_at) if run.paused else (due_at, None)\n", "    return (due_at, None)\n"),
    ),
    "a pause forgets when": found(
        PAUSE,
        Edit(
            EVOLVE,
            "    return replace(task, due_at=None, resumes_at=task.due_at)\n",
            "    return replace(task, due_at=None)\n",
        ),
    ),
    # --- events and people
    "the event key is not looked at": found(
        ("an event key counts once", TOLD),
        Edit(
            "saga_engine.runtime.ask",
            "        if found.arrived:\n",
            "        if False:\n",
        ),
        Edit("saga_engine.store.told", "        dedup_key=command.dedup_key,\n", "        dedup_key=None,\n"),
        first=40,
    ),
    "an event is lost at a move": found(
        "events are consumed once",
        Edit(
            MOVING,
            "    if draft.run.gate is not None:\n",
            '    draft.emit(*[c.TakeEvent(event.number, "ended") for event in draft.run.inbox])\n'
            "    if draft.run.gate is not None:\n",
        ),
    ),
    "an event stays when it was taken": found(
        ("events are consumed once", "the run comes to rest", "an ended run waits for nothing"),
        Edit(EVOLVE, "tuple(event for event in run.inbox if event.number != take.number)", "run.inbox"),
        first=61,
    ),
    "the digest is not compared": tested(
        "tests/domain/test_approvals.py::test_a_new_visit_makes_a_new_approval_and_an_old_digest_does_not_count",
        Edit(APPROVALS, "    if given.digest != gate.digest:\n", "    if not given.digest:\n"),
    ),
    "a verdict after the expiry": tested(
        "tests/domain/test_approvals.py::test_a_verdict_after_the_expiry_is_refused_even_before_the_timer_has_fired",
        Edit(APPROVALS, "    if draft.now >= gate.expires_at:\n", "    if draft.now < gate.opened_at:\n"),
    ),
    "a second verdict of one person": tested(
        "tests/domain/test_approvals.py::test_one_person_has_one_verdict",
        Edit(APPROVALS, "        if vote.actor == given.actor:\n", "        if not vote.actor:\n"),
    ),
    "the quorum is one": found(
        "gates close as they were voted",
        Edit(APPROVALS, "    return len(gate.votes) >= gate.need or", "    return len(gate.votes) >= 1 or"),
        first=15,
    ),
}
