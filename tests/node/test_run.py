"""What the daemon's main program does before anything else."""

import subprocess
import sys

SCRIPT = """
import ctypes, resource
from paasd.node.run import forbid_core_dumps
before = ctypes.CDLL(None).prctl(3)
forbid_core_dumps()
print(before, ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_the_memory_of_the_daemon_is_never_dumped() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["1", "0", "0", "0"]
