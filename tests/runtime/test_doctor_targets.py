"""Doctor looks at targets too: their ledgers, and whether their servers keep what they acknowledge."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from saga_engine.runtime import registry
from saga_engine.runtime.doctor import examine
from saga_engine.runtime.engine import Engine
from saga_engine.settings import Settings

FLUSH = "innodb_flush_log_at_trx_commit"


@pytest.mark.serial  # it changes the server
@pytest.mark.parametrize("target_url", ["mariadb"], indirect=True)
def test_doctor_warns_of_a_server_that_can_lose_an_effect(tmp_path: Path, dw: str) -> None:
    settings = Settings(store=f"sqlite:///{tmp_path}/saga.db", connections={"dw": dw})
    Engine(settings.store).close()
    admin = sa.create_engine(dw, poolclass=sa.NullPool)
    with admin.connect() as db:
        before = db.exec_driver_sql(f"SELECT @@{FLUSH}").scalar_one()
        try:
            db.exec_driver_sql(f"SET GLOBAL {FLUSH} = 2")
            found = [
                (each.state, each.text)
                for each in examine(settings, registry.load(tmp_path))
                if each.area == "connection"
            ]
        finally:
            db.exec_driver_sql(f"SET GLOBAL {FLUSH} = {before}")
    assert [state for state, _ in found] == ["ok", "warning"]
    assert found[1][1].startswith(f"dw: {FLUSH} is 2")
    assert found[1][1].endswith("an effect that was committed can be lost with the server")
