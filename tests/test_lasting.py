"""What is told of a process that chose its own name."""

import os
from pathlib import Path

import pytest

from paasd.lasting.process import start_time


@pytest.mark.parametrize("name", [b"sleep", b"\xff", b") Z 1", b"a\nb"])
def test_a_start_time_is_read_whatever_a_process_is_called(tmp_path: Path, name: bytes) -> None:
    program = tmp_path / os.fsdecode(name)
    program.symlink_to("/bin/sleep")
    pid = os.posix_spawn(program, [b"sleep", b"100"], {})
    try:
        own, since_boot = start_time(os.getpid()), start_time(pid)
        assert own is not None and since_boot is not None
        assert since_boot >= own
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert start_time(pid) is None
