"""What ``saga explain`` says of the rules on times, people and events."""

from saga_engine.domain.checks.finding import Rule

LIMITS = (
    Rule(
        "SG021",
        "a wait without a time limit",
        """\
Events get lost: a sender dies, a name is mistyped. A wait without a deadline, or with one of more than ten years,
then leaves the run there for ever, and nobody is told. Say how long is reasonable and where the run goes then. A
deadline of 0 or less is an error: it has passed before the wait begins.""",
        """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(0)).then(S.COMPLETED, timed_out=S.LATE)
""",
        """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.WAITING).wait(file, deadline=hours(8)).then(S.COMPLETED, timed_out=S.LATE)
""",
    ),
    Rule(
        "SG022",
        "a deadline with nowhere to go",
        """\
When the deadline of a state or group passes, the run takes timed_out=, else failed=. With neither it is parked
(W22) and a person has to find out. A deadline at a pivot is only noted: nothing leaves a pivot that has begun.""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1), deadline=hours(3)).reads_only().then(S.COMPLETED)
""",
        """
(saga.at(S.LOADING).run(load, timeout=hours(1), deadline=hours(3)).reads_only()
     .then(S.COMPLETED, timed_out=S.LATE))
""",
    ),
    Rule(
        "SG030",
        "an approval that never expires, or has expired at once",
        """\
People are on holiday and messages are overlooked. An approval says how long its question makes sense; then the
run takes expired=. With a length of 0 or less nobody can ever answer; with none, or more than ten years, the run
may wait for ever.""",
        """
go_live = Approval("dba", shows=validate, expires=hours(0))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
        """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
    ),
    Rule(
        "SG032",
        "a role without members",
        """\
The settings name nobody for the role, so nobody may answer and the approval can only expire. Roles are lists of
operating-system users: [roles] dba = ["ann", "bob"]. The role of escalate= counts too. Said only where the
settings are known.""",
        """
go_live = Approval("auditors", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
        """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
    ),
    Rule(
        "SG033",
        "an approval that shows what may not be there",
        """\
shows= names the step whose newest result the people see; they decide on that, so the step returns something. It
must have succeeded, and not been undone since, on every way that leads to the gate. A run that comes another way has
nothing to show: its gate does not open and the run parks (W16).""",
        """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().when(all_there, S.ASKING).then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
        """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
    ),
    Rule(
        "SG034",
        "a quorum that cannot be reached",
        """\
A quorum below 1 asks nobody. One above the number of people in the role, and in the role of escalate=, is never
reached, for each person has one verdict: the approval can only be rejected or expire.""",
        """
go_live = Approval("dba", quorum=3, shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
        """
go_live = Approval("dba", quorum=2, shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.STOPPED, expired=S.STOPPED)
""",
    ),
    Rule(
        "SG080",
        "a step without a time limit",
        """\
A connection that hangs, a lock that is never granted: an attempt may take for ever, and holds its worker's slot as
long. timeout= ends one attempt and counts it as failed; a deadline= of the state or its group is a limit too, but
not at a pivot. heartbeat= is none: it bounds how long an attempt may be silent. A timeout of 0 or less is an
error.""",
        """
saga.at(S.LOADING).run(load).reads_only().then(S.COMPLETED)
""",
        """
saga.at(S.LOADING).run(load, timeout=hours(6), heartbeat=seconds(30)).reads_only().then(S.COMPLETED)
""",
    ),
    Rule(
        "SG110",
        "an event that no state takes",
        """\
The event is declared in the file and used in no table, or it is listed only where none can be taken: at a state
that no run comes to, at an end, at a pivot (nothing leaves one that has begun; events wait until it is passed).
Whoever sends it is refused, or it waits in vain, as unhandled= says.""",
        """
abort = Event("abort", Abort, unhandled="defer")
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).on(abort, S.STOPPED).pivot().then(S.COMPLETED)
""",
        """
abort = Event("abort", Abort, unhandled="defer")
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).on(abort, S.ROLLING_BACK).then(S.CUTTING_OVER)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
""",
    ),
)
