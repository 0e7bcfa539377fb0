"""The demo's workers: real processes, one of which really dies."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

STOP_SECONDS: Final = 20.0


class WorkerProcess:
    """``saga worker`` in a process of its own, started within ``place.alone``; what it logs goes to a file."""

    def __init__(self, folder: Path, number: int) -> None:
        self.log = folder / f"worker-{number}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saga_engine", "worker", "--concurrency", "2"],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once it has ended by itself; its log says why."""
        return self._process.poll() is None

    def kill(self) -> int:
        """SIGKILL: no handler runs, nothing is said goodbye to. Returns the signal it died of."""
        self._process.send_signal(signal.SIGKILL)
        return -self._process.wait()

    def stop(self) -> None:
        """Let it drain."""
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
