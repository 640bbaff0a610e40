"""Programs run as an ordinary user, whoever runs the tests: with nothing but a home, a TMPDIR and this checkout."""

import os
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
UID = 30_333
_LIMIT_S = 170.0


class User:
    """Somebody without an account. `home` is theirs."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Python with these arguments, its output in pipes."""
        identity = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.Popen(
            [_interpreter(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "TMPDIR": str(self.home),
                "PYTHONPATH": os.pathsep.join([str(ROOT), *site.getsitepackages()]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            **identity,  # type: ignore[arg-type]
        )

    def run(self, *arguments: str) -> str:
        """What it prints; fails with that when it does not end well."""
        with self.start(*arguments) as process:
            try:
                text, _ = process.communicate(timeout=_LIMIT_S)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == 0, text
        return text


@contextmanager
def ordinary_user() -> Iterator[User]:
    """Their home is empty at the start, and must be at the end."""
    home = Path(tempfile.mkdtemp(prefix="paasd-user-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            os.chown(home, UID, UID)
        yield User(home)
        left = [str(path) for path in home.rglob("*")]
        assert left == [], left[:20]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _interpreter() -> str:
    """The one that runs us, or one of the same version where that lies in somebody's closed home."""
    real = Path(sys.executable).resolve()
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in real.parents):
        return sys.executable
    return f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
