"""Findings as SARIF 2.1.0, which code hosts show beside the lines they are about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import saga_engine
from saga_engine.runtime import checking
from saga_engine.runtime.views import FoundView

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def log(found: Sequence[FoundView]) -> dict[str, Any]:
    """One run of the tool with what it found."""
    titles = checking.titles()
    rules = [{"id": code, "shortDescription": {"text": title}} for code, title in titles.items()]
    driver = {"name": "saga check", "version": saga_engine.__version__, "rules": rules}
    order = list(titles)
    results = [{**_result(finding), "ruleIndex": order.index(finding.code)} for finding in found]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: FoundView) -> dict[str, Any]:
    return {
        "ruleId": finding.code,
        "level": finding.severity,
        "message": {"text": f"{finding.text}. {finding.help}"},
        "locations": list(_locations(finding)),
    }


def _locations(finding: FoundView) -> Iterator[dict[str, Any]]:
    """Where it is; a finding about the store is nowhere in the files."""
    file, _, line = finding.where.rpartition(":")
    if not line.isdigit():
        file, line = finding.where, "1"
    if file:
        yield {"physicalLocation": {"artifactLocation": {"uri": file}, "region": {"startLine": int(line)}}}
