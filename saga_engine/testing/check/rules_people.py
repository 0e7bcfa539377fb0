"""Approvals: who may, having seen what, once, in time; and what came of the votes."""

from __future__ import annotations

from collections.abc import Iterator

from saga_engine.domain import approvals
from saga_engine.domain import commands as c
from saga_engine.domain import events as e
from saga_engine.domain.snapshot import OpenGate, Snapshot
from saga_engine.store.evidence import KeptGate
from saga_engine.testing.check.history import History, Turn


def verdicts(history: History) -> Iterator[str]:
    """A verdict counts once a person, in a role of the gate, on what is shown there, before it expires."""
    for turn, command, run in history.steps():
        if not isinstance(command, c.CountVote):
            continue
        event, gate, actor = turn.event, run.gate, command.vote.actor
        if not isinstance(event, e.VerdictGiven) or gate is None or gate.task != command.task:
            yield f"line {turn.number} ({type(event).__name__}) counts a vote of {actor} where no gate asks for one"
            continue
        wrong = {
            "is not what that person said": (actor, command.vote.approved) != (event.actor, event.approved),
            "is of something else than is shown": event.digest != gate.digest,
            "is of nobody in a role of the gate": not set(event.roles) & set(gate.roles),
            "is that person's second": actor in [vote.actor for vote in gate.votes],
            "came after the gate had expired": command.vote.at >= gate.expires_at,
            "is of who started the run": gate.not_starter and actor == run.starter,
        }
        yield from (f"line {turn.number}: the vote of {actor} {what}" for what, true in wrong.items() if true)
    for turn in history.turns:
        votes = [x for x in turn.commands if isinstance(x, c.CountVote)]
        if len(votes) != int(isinstance(turn.event, e.VerdictGiven)):
            yield f"line {turn.number} ({type(turn.event).__name__}) counts {len(votes)} votes"


def outcomes(history: History) -> Iterator[str]:
    """The quorum approves, one rejection rejects, time expires, leaving voids; the way taken is that of the outcome."""
    for turn, command, run in history.steps():
        match command:
            case c.CloseApproval(outcome=outcome):
                if run.gate is None or not _right(outcome, run.gate, turn):
                    yield f"line {turn.number} ({type(turn.event).__name__}) closes the gate as {outcome}: {run.gate}"
            case c.OpenApproval(gate=gate):
                yield from _digest(history, turn, run, gate)
            case c.Move(because=("approved" | "rejected" | "expired") as because):
                closed = [x.outcome for x in turn.commands if isinstance(x, c.CloseApproval)]
                retried = isinstance(
                    turn.event, e.RetryRequested
                )  # the gate was closed when the way could not be taken
                if because not in closed and not retried:
                    yield f"line {turn.number} leaves {run.state} as {because}, its gate was closed as {closed}"
            case _:
                pass


def _right(outcome: str, gate: OpenGate, turn: Turn) -> bool:
    no = [vote for vote in gate.votes if not vote.approved]
    match outcome:
        case "approved":
            return not no and len({vote.actor for vote in gate.votes}) >= gate.need
        case "rejected":
            return bool(no)
        case "expired":
            return turn.at >= gate.expires_at
        case _:
            return outcome == "void"


def _digest(history: History, turn: Turn, run: Snapshot, gate: OpenGate) -> Iterator[str]:
    ways = history.chart.ways(run.state, "approved")
    if not ways or gate.digest != approvals.digest(gate.task, run.state, ways[0].target, gate.shows):
        yield f"line {turn.number} opens the gate of {run.state} with a digest that is not of what it shows"


def gates(history: History) -> Iterator[str]:
    """The rows of gates and votes are what the journal says."""
    told: dict[str, KeptGate] = {}
    for _, command, _ in history.steps():
        match command:
            case c.OpenApproval(gate=gate):
                told[gate.task] = KeptGate(gate.task, gate.need, gate.digest, None, ())
            case c.CountVote(task=task, vote=vote) if task in told:
                was = told[task]
                told[task] = KeptGate(task, was.need, was.digest, None, (*was.voters, (vote.actor, vote.approved)))
            case c.CloseApproval(task=task, outcome=outcome) if task in told:
                was = told[task]
                told[task] = KeptGate(task, was.need, was.digest, outcome, was.voters)
            case _:
                pass
    found = {gate.task: gate for gate in history.evidence.gates}
    if found != told:
        yield f"the gates are stored as {list(found.values())}, the journal says {list(told.values())}"
