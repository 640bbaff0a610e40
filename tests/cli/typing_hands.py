"""`paasd` as a person types it: a process of its own, what it prints, how it ends."""

import os
import subprocess
import sys
from functools import partial
from typing import Any

import msgspec
import trio


class Typed(msgspec.Struct, frozen=True):
    """How a command ended."""

    code: int
    out: str
    err: str


async def paasd(*words: str, **environment: str) -> Typed:
    """Run `paasd WORDS`; nothing of this process's PAASD_ variables is passed on."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PAASD_")}
    run: Any = partial(
        trio.run_process,
        [sys.executable, "-m", "paasd", *words],
        env={**kept, **environment},
        stdin=b"",
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    with trio.fail_after(120):
        done: subprocess.CompletedProcess[bytes] = await run()
    typed = Typed(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in typed.err, typed.err
    return typed
