"""What alembic runs: the migrations on the connection that upgrade.py hands over, or as text."""

from __future__ import annotations

from alembic import context

from saga_engine.store.migrate import VERSION_TABLE

if context.is_offline_mode():
    context.configure(
        dialect_name=context.config.get_main_option("sqlalchemy.dialect"),
        version_table=VERSION_TABLE,
        literal_binds=True,
        transactional_ddl=True,
    )
else:
    context.configure(
        connection=context.config.attributes["connection"],
        version_table=VERSION_TABLE,
        transactional_ddl=True,  # SQLite too: store.write() says BEGIN itself
    )

with context.begin_transaction():
    context.run_migrations()
