"""Moving a table, exactly, between databases: the steps, and what they stand on.

The steps in their order: ``preflight``, ``export``, ``load``, ``validate``, ``swap``. They speak to a database through
``dialect``, which ``sqlite`` and ``postgres`` fill in; ``pairs`` says which types go together. ``plan`` has what is
stored. ``workflows/migrate_table.py`` joins them to a saga.
"""
