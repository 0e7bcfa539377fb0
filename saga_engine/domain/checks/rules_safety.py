"""What ``saga explain`` says of the rules on undo and the point of no return."""

from saga_engine.domain.checks.finding import Rule

SAFETY = (
    Rule(
        "SG010",
        "a step without an undo that a rollback can reach",
        """\
The table says neither how the step is undone nor that it need not be. When the run rolls back, the step's
change stays in the target while everything around it is taken away. The step that failed is undone too, so its
own failed= counts; and where the saga has one rolling-back state, saga cancel leads there from everywhere before
the pivot. Say one of three: .undo(function), .reads_only() where nothing is changed, .pivot() at the point of no
return.""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().when(all_there, S.COMPLETED).then(S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().when(all_there, S.COMPLETED).then(S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
""",
    ),
    Rule(
        "SG012",
        "a pivot with a way back",
        """\
Once a pivot has run, nothing before it is undone any more. A rollback behind it would end "rolled back" with all
of that still there. Two tables say so: a state after the pivot leads back; or the pivot stands in a group whose
failed= does, which the engine does not take: a pivot that fails for good is parked. What follows a pivot leads
forward: retries, a repair, an end with outcome="failed".""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.CUTTING_OVER)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
saga.group(S.LOADING, S.CUTTING_OVER).then(failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.CUTTING_OVER, failed=S.ROLLING_BACK)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
""",
    ),
    Rule(
        "SG013",
        "a state in which a cancel does not know where to",
        """\
A cancel goes to the rolling-back state of the state's own failed=, else of its groups, else to the saga's only
one. Here are several and none is named, while steps before may have to be undone: a cancel in this state is
refused. Name one with failed=, at the state or at a group around it.""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).undo(drop_export).then(S.LOADING, failed=S.DROPPING)
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.VALIDATING, failed=S.UNLOADING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.COMPLETED)
saga.rolls_back(S.DROPPING).to(S.ROLLED_BACK)
saga.rolls_back(S.UNLOADING).to(S.ROLLED_BACK)
""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).undo(drop_export).then(S.LOADING, failed=S.DROPPING)
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.VALIDATING, failed=S.UNLOADING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.COMPLETED, failed=S.UNLOADING)
saga.rolls_back(S.DROPPING).to(S.ROLLED_BACK)
saga.rolls_back(S.UNLOADING).to(S.ROLLED_BACK)
""",
    ),
    Rule(
        "SG014",
        "a way out of a rolling-back state before everything is undone",
        """\
A rolling-back state is left by .to(…), when the last undo has succeeded. An event that leads out of it earlier
would end the run with the rest not undone, and nobody would be told; so would the ways of a group. The engine
refuses to load such a saga. An undo that fails parks the run there, for saga retry, skip or resolve.""",
        """
abort = Event("abort", Abort, unhandled="reject")
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.COMPLETED, failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).on(abort, S.GIVEN_UP).to(S.ROLLED_BACK)
""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).undo(unload).then(S.COMPLETED, failed=S.ROLLING_BACK)
saga.rolls_back(S.ROLLING_BACK).to(S.ROLLED_BACK)
""",
    ),
    Rule(
        "SG031",
        "an approval after the point of no return",
        """\
The people are asked when what was done before the pivot can no longer be taken back: a no does not undo it. Ask
before the pivot. Where the question is about something further, such as dropping the old table, the warning may
be left alone, if rejected= and expired= lead forward.""",
        """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.CUTTING_OVER)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.COMPLETED, rejected=S.COMPLETED, expired=S.COMPLETED)
""",
        """
go_live = Approval("dba", shows=validate, expires=hours(24))
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.ASKING)
saga.at(S.ASKING).approval(go_live).then(approved=S.CUTTING_OVER, rejected=S.STOPPED, expired=S.STOPPED)
saga.at(S.CUTTING_OVER).run(cut_over, timeout=hours(1)).pivot().then(S.COMPLETED)
""",
    ),
)
