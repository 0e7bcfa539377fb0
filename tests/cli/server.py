"""Runs the program again and again at the price of a fork: a process of its own each time, its imports warm.

A line of JSON on standard input is a job; its exit code comes back as a line. What a cold start imports is another
test's affair (test_start.py).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from saga_engine.__main__ import main
from saga_engine.cli.main import saga

SECONDS_MAX = 60


def run(job: dict[str, Any]) -> int:
    """Do the job in a child; its exit code."""
    child = os.fork()
    if child == 0:
        become(job)
        exec(job["patch"], {})  # a test's own words, in this child alone
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 1)
        os._exit(70)  # main always ends with sys.exit
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def become(job: dict[str, Any]) -> None:
    """Be a process that was started with the job's folder, environment, files and arguments."""
    signal.alarm(SECONDS_MAX)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    for number, (path, flags) in enumerate(zip(job["files"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        os.dup2(os.open(path, flags), number)
    sys.argv = ["saga", *job["arguments"]]


if __name__ == "__main__":
    with click.Context(saga) as context:
        for name in saga.list_commands(context):
            if name != "demo":
                saga.get_command(context, name)
    import_module("saga_engine.store.upgrade")
    import_module("saga_engine.cli.crash")
    for line in sys.stdin:
        sys.stdout.write(f"{run(json.loads(line))}\n")
        sys.stdout.flush()
