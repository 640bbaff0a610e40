"""Keeps everything but apsw away from an open state.db.

POSIX drops the locks of a process on a file whenever it closes any descriptor of it. So the standard library's sqlite3
(which is a SQLite of its own, and what sqlite-utils opens) or a plain open() would let another process write into the
middle of our transactions.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from paasd.errors import Unavailable

_protected: set[str] = set()  # an audit hook is of the process and cannot be removed, so this cannot be an argument
_names: set[str] = set()
_installed: list[bool] = []


class StateInUse(Unavailable):
    """Another paasd, or another node in this process, has the database open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is in use by another paasd; stop that one, or give this node another data directory")


@contextmanager
def exclusive_access(path: Path) -> Iterator[None]:
    """Inside the block nobody else opens that file: other processes of paasd are refused by a lock beside it, and in
    this process sqlite3.connect() and open() of it raise RuntimeError, by whatever path. Raises StateInUse.
    """
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    name = os.path.realpath(path)
    if name in _protected:
        raise StateInUse(path)
    _names.add(path.name)
    _protected.add(name)
    try:
        with _lock(path):
            yield
    finally:
        _protected.discard(name)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """A POSIX lock and not flock: children that outlive this process must not inherit it."""
    fd = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateInUse(path) from error
        yield
    finally:
        os.close(fd)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _protected:
        path = arguments[0]
        if isinstance(path, str) and path.rpartition("/")[2] in _names and os.path.realpath(path) in _protected:
            raise RuntimeError(f"{path} is open through apsw; closing it again would drop its locks")
    elif event == "sqlite3.connect" and _protected:
        database = os.fsdecode(arguments[0])
        if database.startswith("file:"):
            database = unquote(urlsplit(database).path)
        if _is_protected(Path(database)):
            raise RuntimeError(f"{database} is open through apsw; sqlite3 and sqlite-utils would drop its locks")


def _is_protected(database: Path) -> bool:
    return database.exists() and any(database.samefile(name) for name in _protected)
