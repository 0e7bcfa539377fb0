"""Failpoints do nothing until they are asked, and then exactly what they are asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from saga_engine import failpoints
from saga_engine.failpoints import Injected, hit, switched_on

HITS = "import sys; from saga_engine import failpoints; [failpoints.hit(name) for name in sys.argv[1:]]; print('end')"


def process(rules: str, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HITS, *names],
        env={**os.environ, "SAGA_FAILPOINTS": rules},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_failpoint_that_nobody_asked_for_does_nothing() -> None:
    hit("store.record.before_commit")


def test_a_hook_hears_every_hit_in_the_block_and_none_after_it() -> None:
    heard: list[str] = []
    with switched_on(heard.append):
        hit("a")
        hit("b")
    hit("c")
    assert heard == ["a", "b"]


def test_blocks_nest() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with switched_on(outer.append):
        with switched_on(inner.append):
            hit("a")
        hit("b")
    assert (outer, inner) == (["b"], ["a"])


def test_a_rule_acts_at_its_hit_only() -> None:
    with switched_on("a:2=raise"):
        hit("a")
        hit("b")
        with pytest.raises(Injected, match=r"^a$"):
            hit("a")
        hit("a")


def test_a_pattern_counts_the_hits_of_all_its_names() -> None:
    with switched_on("ledger.*:2=raise"):
        hit("ledger.head")
        hit("store.head")
        with pytest.raises(Injected, match=r"^ledger\.part$"):
            hit("ledger.part")


def test_a_star_acts_at_every_hit(tmp_path: Path) -> None:
    with switched_on(f"*:*=trace:{tmp_path}/hits; b:1=sleep:0"):
        for name in "aba":
            hit(name)
    assert (tmp_path / "hits").read_text() == "a\nb\na\n"


def test_hits_are_counted_over_all_threads() -> None:
    raised: list[str] = []

    def often() -> None:
        for _ in range(200):
            try:
                hit("a")
            except Injected as error:
                raised.append(str(error))

    with switched_on("a:700=raise"):
        threads = [threading.Thread(target=often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert raised == ["a"]


def test_sleep_takes_its_time() -> None:
    began = time.monotonic()
    with switched_on("a:1=sleep:0.05"):
        hit("a")
    assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("rule", ["a", "a=kill", "a:0=kill", "a:x=kill", "a:1=explode", ":1=kill", "a:1"])
def test_a_rule_that_says_nothing_clear_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="is not name:n=action"), switched_on(rule):
        pass
    assert failpoints._hook is None


def test_a_process_is_told_by_its_environment_and_dies_at_the_point() -> None:
    done = process("b:2=kill", "a", "b", "b")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


def test_a_process_whose_points_are_not_reached_lives() -> None:
    done = process("b:2=kill", "a", "b")
    assert (done.returncode, done.stdout) == (0, "end\n")


def test_an_empty_variable_switches_nothing_on() -> None:
    assert process("", "a").stdout == "end\n"


def test_a_stopped_process_goes_on_from_its_point() -> None:
    environment = {**os.environ, "SAGA_FAILPOINTS": "a:1=stop"}
    with subprocess.Popen([sys.executable, "-c", HITS, "a"], env=environment, stdout=subprocess.PIPE) as stopped:
        _, status = os.waitpid(stopped.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        stopped.send_signal(signal.SIGCONT)
        assert stopped.communicate()[0] == b"end\n"
