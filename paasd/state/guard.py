"""Keeps everything but apsw away from an open state.db.

POSIX drops the locks of a process on a file whenever it closes any descriptor of it. So the standard library's sqlite3
(which is a SQLite of its own, and what sqlite-utils opens) or a plain open() would let another process write into the
middle of our transactions.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_protected: dict[str, int] = {}  # an audit hook is of the process and cannot be removed, so this cannot be an argument
_names: set[str] = set()
_installed: list[bool] = []


@contextmanager
def forbid_other_access(path: Path) -> Iterator[None]:
    """Inside the block sqlite3.connect() and open() of that file raise RuntimeError, by whatever path."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    name = os.path.realpath(path)
    _protected[name] = _protected.get(name, 0) + 1
    _names.add(path.name)
    try:
        yield
    finally:
        _protected[name] -= 1
        if not _protected[name]:
            del _protected[name]


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
    if os.path.realpath(database) in _protected:
        return True
    return database.exists() and any(database.samefile(name) for name in _protected)
