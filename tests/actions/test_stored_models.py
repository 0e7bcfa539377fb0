"""The results of the move's steps are in the digest of every saga that moves tables: a change strands its runs."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from pydantic import BaseModel

from saga_engine.actions.copy.plan import CutOver, Exported, Loaded, Move, Part, Plan, Report
from saga_engine.actions.copy.swap import Swapped, cut_over
from saga_engine.domain.definition.functions import model_of

CUT_OVER = {
    "additionalProperties": False,
    "description": "What the swap did. *kept* is the old table's new name; empty where there was none.",
    "properties": {
        "table": {"title": "Table", "type": "string"},
        "kept": {"title": "Kept", "type": "string"},
        "rows": {"title": "Rows", "type": "integer"},
        "statements": {"items": {"type": "string"}, "title": "Statements", "type": "array"},
    },
    "required": ["table", "kept", "rows", "statements"],
    "title": "CutOver",
    "type": "object",
}


def test_the_schema_of_the_cut_over_is_what_it_was() -> None:
    assert CutOver.model_json_schema() == CUT_OVER
    assert model_of(cut_over) is CutOver


@pytest.mark.parametrize(
    ("model", "digest"),
    [
        (Move, "a1b116d216c25b10"),
        (Plan, "a867b0ea4d0c92ce"),
        (Exported, "e8d6dd25a8846031"),
        (Part, "b9c737e309ea5c0b"),
        (Loaded, "2ad56ca6eda22100"),
        (Report, "5108bc2ae1c8b824"),
    ],
)
def test_so_are_the_others(model: type[BaseModel], digest: str) -> None:
    schema = json.dumps(model.model_json_schema(), sort_keys=True)
    assert sha256(schema.encode()).hexdigest()[:16] == digest


def test_a_swap_that_an_older_release_has_put_into_the_ledger_can_be_read() -> None:
    before = CutOver(table="item", kept="item__before_1", rows=5, statements=("ALTER TABLE …",))
    read = Swapped.model_validate_json(before.model_dump_json())
    assert read.unproved == ()
    assert read.model_dump(exclude={"unproved"}) == before.model_dump()
