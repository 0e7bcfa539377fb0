"""What ``saga explain`` says of the rules on the shape of a table."""

from saga_engine.domain.checks.finding import Rule

SHAPE = (
    Rule(
        "SG001",
        "a state that no run comes to",
        """\
Nothing leads to the state from the start: no outcome, event, deadline or cancel. Its step never runs, and its
ways out lead nowhere for anybody. Mostly a .then(…) names the wrong state. A state with visits=0 is as closed:
a run would park in front of it (W14). While another state has no line at all (SG003) this rule is silent, for
the missing line may be the one that leads there.""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.COMPLETED)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
""",
    ),
    Rule(
        "SG002",
        "states from which no end can be reached",
        """\
The states named lead only to each other. A run that gets there goes round until the bound of visits parks it
(W14), and only a cancel gets it out. What merely leads into the circle is not listed: mend the circle.""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING, failed=S.COMPLETED)
saga.at(S.LOADING, visits=5).run(load, timeout=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().then(S.LOADING)
""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING, failed=S.COMPLETED)
saga.at(S.LOADING, visits=5).run(load, timeout=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().when(all_there, S.COMPLETED).then(S.LOADING)
""",
    ),
    Rule(
        "SG003",
        "a dead end: a state that is no end and has no way out",
        """\
A run that comes to the state could do nothing there and never leave. Either the enum has a state for which no
line was written, or its line does not end with .then(…): only that writes the row, so without it the whole
line leaves no trace. The engine refuses to load such a saga.""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only()
""",
        """
saga.at(S.EXPORTING).run(export, timeout=hours(1)).reads_only().then(S.LOADING)
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED)
""",
    ),
    Rule(
        "SG005",
        "one name for two steps or two events",
        """\
Results are stored under the name of the step's function, and an event is found by its name. Two different
things with one name could not be told apart when a result is read back or an event arrives, so the engine
refuses to load the saga. The same Event value may be used in any number of states.""",
        """
first = Event("file", Arrived, unhandled="defer")
second = Event("file", Arrived, unhandled="defer")
saga.at(S.FIRST).wait(first, deadline=hours(8)).then(S.SECOND, timed_out=S.LATE)
saga.at(S.SECOND).wait(second, deadline=hours(8)).then(S.COMPLETED, timed_out=S.LATE)
""",
        """
file = Event("file", Arrived, unhandled="defer")
saga.at(S.FIRST).wait(file, deadline=hours(8)).then(S.SECOND, timed_out=S.LATE)
saga.at(S.SECOND).wait(file, deadline=hours(8)).then(S.COMPLETED, timed_out=S.LATE)
""",
    ),
    Rule(
        "SG020",
        "a circle that a run goes round by itself, with no bound written",
        """\
In each round no event and no person is needed, and every state in it has the bound that nobody wrote: 100
visits. A run that does not get out goes round 100 times as fast as it can, then parks (W14). Say how often is
meant with at(…, visits=n), on one state of the circle. It is an error where only a failure leaves the circle,
for then every run that succeeds ends parked; else a warning.""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().when(all_there, S.COMPLETED).then(S.LOADING)
""",
        """
saga.at(S.LOADING, visits=5).run(load, timeout=hours(1)).reads_only().then(S.VALIDATING)
saga.at(S.VALIDATING).run(validate, timeout=hours(1)).reads_only().when(all_there, S.COMPLETED).then(S.LOADING)
""",
    ),
    Rule(
        "SG023",
        "a way for a deadline that does not exist",
        """\
timed_out= is taken when a deadline passes: the state's own, or its group's. timeout= is another thing: it ends
one attempt, which is then retried, and the last one takes failed=. Without a deadline= the way is never taken.""",
        """
saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only().then(S.COMPLETED, timed_out=S.COMPLETED)
""",
        """
(saga.at(S.LOADING).run(load, timeout=hours(1), deadline=hours(3)).reads_only()
     .then(S.COMPLETED, timed_out=S.COMPLETED))
""",
    ),
    Rule(
        "SG070",
        "a way that is never asked",
        """\
Ways of one event are tried in written order, and one without a guard is always taken. What stands behind it
for the same event is never reached, whatever its guard says.""",
        """
abort = Event("abort", Abort, unhandled="reject")
(saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only()
     .on(abort, S.STOPPED).on(abort, S.PAGED, when=urgent)
     .then(S.COMPLETED, failed=S.PAGED))
""",
        """
abort = Event("abort", Abort, unhandled="reject")
(saga.at(S.LOADING).run(load, timeout=hours(1)).reads_only()
     .on(abort, S.PAGED, when=urgent).on(abort, S.STOPPED)
     .then(S.COMPLETED, failed=S.PAGED))
""",
    ),
)
