"""Effects exactly once: the ledger that stands beside the user's data in the target database (PROTOCOL, "The target").

``schema`` makes it, ``connect`` opens a target, ``effect`` goes forward, ``undo`` goes back. Nothing here knows the
store: a task is a name, an attempt a number.
"""
