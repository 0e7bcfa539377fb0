"""The warden of an attempt ends it whenever it is told to, however early."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOLD_BEFORE = """
import fcntl, os, socket, sys, time
from pathlib import Path
from saga_engine.runtime.isolation.warden import Terms, warden
from saga_engine.runtime.isolation.wire import Wire

life, mark = map(Path, sys.argv[1:])
lives = life.open("w")
fcntl.lockf(lives, fcntl.LOCK_EX, 1)
control, far = socket.socketpair()
_, line = socket.socketpair()
control.shutdown(socket.SHUT_WR)

def run():
    time.sleep(3)
    mark.touch()
    return 0

parent = os.getpid()
if os.fork() == 0:
    warden(parent, far, Wire(line, 4096), Terms(str(life)), run)
    os._exit(0)
began = time.monotonic()
os.wait()
print(time.monotonic() - began)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes of steps need Linux")
@pytest.mark.parametrize("_again", range(3))
def test_an_order_to_kill_that_comes_before_the_process_has_a_group_is_obeyed(tmp_path: Path, _again: int) -> None:
    life, mark = tmp_path / "life", tmp_path / "mark"
    life.touch()
    done = subprocess.run(
        [sys.executable, "-c", TOLD_BEFORE, str(life), str(mark)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert float(done.stdout) < 2
    assert not mark.exists()
