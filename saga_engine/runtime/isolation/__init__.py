"""Steps in processes of their own, which can be killed: ``isolation="process"``, and tasks that a worker died with.

::

    worker ── door ── fork server (server)      no threads, no connections; has loaded the same sagas
      │                  └─ warden (warden)     one for each process; holds a death lock; ends all that is below it
      ├── control ───────┘   └─ child (child)   runs ``executor.run`` with hands that ask the worker
      └── wire ──────────────────┘

The process of a suspect stays for others while all ends well in it (``spares``); any other is for one attempt.
``forks``, ``lines`` and ``process`` are the worker's side. Only the wire knows the store's answers: a child never opens
the store. Who dies takes all that is below it along, and the death of a worker is known only when its wardens are gone.
"""
