"""The death lock: known dead at once after kill -9, never while the process may live, None where nobody can tell."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from saga_engine.errors import SettingsError
from saga_engine.runtime.life import Life, host, is_dead, runtime_directory, this_boot

BEGIN = """
import os, sys
from pathlib import Path
from saga_engine.runtime.life import Life
life = Life.begin(Path(sys.argv[1]))
print(life.path, life.device, life.inode, life.boot_id, sep="\\n", flush=True)
"""
STAY = f"{BEGIN}sys.stdin.readline()\nlife.end()\n"
FORK = f"""{BEGIN}
child = os.fork()
if child == 0:
    life.end()
    os.close(life._file)
    os.write(1, b"child is done\\n")
    os.read(0, 1)
    os._exit(0)
os.waitpid(child, 0)
"""


class Seen(NamedTuple):
    """What the row of a worker keeps of its life."""

    path: Path
    device: int
    inode: int
    boot_id: str


Start = Callable[[str], "tuple[subprocess.Popen[str], Seen]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def begin(script: str) -> tuple[subprocess.Popen[str], Seen]:
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process, Seen(Path(line(process)), int(line(process)), int(line(process)), line(process))

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_worker_is_dead_as_soon_as_it_was_killed(start: Start) -> None:
    worker, life = start(STAY)
    assert is_dead(*life) is False
    worker.kill()
    worker.wait()
    assert is_dead(*life) is True
    assert is_dead(*life) is True


def test_a_stopped_worker_is_not_dead(start: Start) -> None:
    worker, life = start(STAY)
    worker.send_signal(signal.SIGSTOP)
    os.waitpid(worker.pid, os.WUNTRACED)
    assert is_dead(*life) is False


def test_a_worker_that_ended_its_life_leaves_no_file_and_no_verdict(start: Start) -> None:
    worker, life = start(STAY)
    worker.communicate("end\n")
    assert worker.returncode == 0
    assert (life.path.exists(), is_dead(*life)) == (False, None)


def test_a_child_that_user_code_forks_neither_ends_the_life_nor_prolongs_it(start: Start) -> None:
    worker, life = start(FORK)
    assert line(worker) == "child is done"
    assert (life.path.exists(), is_dead(*life)) == (True, False)
    worker.kill()
    worker.wait()
    assert is_dead(*life) is True


def test_nobody_can_tell_across_a_boot_or_from_another_file(start: Start) -> None:
    worker, life = start(STAY)
    worker.kill()
    worker.wait()
    assert is_dead(life.path, life.device, life.inode, "another boot") is None
    assert is_dead(life.path, life.device, life.inode, "") is None
    assert is_dead(life.path, life.device, life.inode + 1, life.boot_id) is None
    assert is_dead(life.path, life.device + 1, life.inode, life.boot_id) is None
    life.path.rename(life.path.with_suffix(".moved"))
    assert is_dead(*life) is None
    life.path.symlink_to(life.path.with_suffix(".moved"))
    assert is_dead(*life) is None


def test_a_life_of_this_very_process_is_not_looked_at_so_its_lock_stays(tmp_path: Path) -> None:
    life = Life.begin(tmp_path)
    seen = (life.path, life.device, life.inode, life.boot_id)
    assert is_dead(*seen) is None
    look = "import sys; from pathlib import Path; from saga_engine.runtime.life import is_dead; print(is_dead("
    look += "Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))"
    asked = subprocess.run(
        [sys.executable, "-c", look, *map(str, seen)], capture_output=True, text=True, check=True
    ).stdout
    life.end()
    assert asked == "False\n"


def test_a_life_has_a_file_of_its_own_for_its_owner_alone(tmp_path: Path) -> None:
    first, second = Life.begin(tmp_path), Life.begin(tmp_path)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "saga", first.path, second.path)]
    found = first.path.stat()
    assert first.path != second.path
    assert (first.device, first.inode, first.boot_id) == (found.st_dev, found.st_ino, this_boot())
    assert [oct(mode) for mode in modes] == ["0o700", "0o600", "0o600"]
    first.end()
    second.end()
    assert list((tmp_path / "saga").iterdir()) == []


def test_a_directory_that_cannot_be_used_is_an_error_that_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"No such file or directory. Name a private directory on a local disk in "):
        Life.begin(tmp_path / "missing")


def test_the_runtime_directory_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_directory() == tmp_path


@pytest.mark.skipif(Path(f"/run/user/{os.getuid()}").exists(), reason="this user has a /run/user directory")
@pytest.mark.parametrize("named", ["", "/no/such/directory"])
def test_without_one_it_is_a_private_directory_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = runtime_directory()
    assert found == tmp_path / f"saga-{os.getuid()}"
    assert oct(stat.S_IMODE(found.stat().st_mode)) == "0o700"
    assert runtime_directory() == found


@pytest.mark.skipif(Path(f"/run/user/{os.getuid()}").exists(), reason="this user has a /run/user directory")
def test_a_directory_that_others_could_have_made_or_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = tmp_path / f"saga-{os.getuid()}"
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(SettingsError, match=r"is not private to this user\. Remove it, or name a private directory"):
        runtime_directory()
    place.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="is not private to this user"):
        runtime_directory()


def test_the_host_has_a_name_and_the_boot_an_id() -> None:
    assert host() == socket.gethostname()
    assert this_boot() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


HOLD = """
import sys
from pathlib import Path
from saga_engine.runtime.life import hold
try:
    hold(Path(sys.argv[2]))
except OSError as error:
    print(type(error).__name__, flush=True)
else:
    print("holds", flush=True)
    sys.stdin.readline()
"""


def sharing(seen: Seen) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, "", str(seen.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_life_that_is_shared_lasts_until_the_last_of_its_processes_has_ended(start: Start) -> None:
    worker, seen = start(STAY)
    with sharing(seen) as one, sharing(seen) as other:
        for process in (one, other):
            assert process.stdout is not None
            assert process.stdout.readline() == "holds\n"
        worker.kill()
        worker.wait()
        assert is_dead(*seen) is False
        one.kill()
        one.wait()
        assert is_dead(*seen) is False
        other.kill()
    assert is_dead(*seen) is True


def test_a_life_that_is_over_cannot_be_shared_any_more(start: Start) -> None:
    """Somebody may have found out by now, and have gone on."""
    worker, seen = start(STAY)
    worker.kill()
    worker.wait()
    with sharing(seen) as late:
        assert late.communicate()[0] == "ProcessLookupError\n"
    assert is_dead(*seen) is True
    seen.path.unlink()
    with sharing(seen) as late:
        assert late.communicate()[0] == "FileNotFoundError\n"
