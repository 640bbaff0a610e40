"""A file of records that cannot be changed unnoticed: each line holds the hash of the one before.

For what strangers cause, which must not get into the replicated log: they could flood it. The newest hash (the head) is
written there now and then; whoever changes older lines afterwards would have to change that, too. The other way round,
heads of the log's own chain (`model/auditing/chain.py`, which links rows) are kept in such a file.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

FILE_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""A full file is kept beside the next one (`.old`), which goes on with its last hash: about 20,000 records each."""
PER_MINUTE: Final = 120
"""Records in a minute; of more only the number is kept."""
TEXT_LIMIT: Final = 300
NO_HASH: Final = "0" * 64


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line. `at` in unix seconds, `address` and `subject` as the stranger gave them, cut short."""

    number: int
    at: float
    door: str
    address: str
    subject: str
    why: str
    previous: str
    hash: str = ""

    def sealed(self) -> "Record":
        """With its own hash."""
        return msgspec.structs.replace(self, hash=self.own_hash())

    def own_hash(self) -> str:
        """Of everything but the hash itself."""
        return hashlib.sha256(_encoder.encode(msgspec.structs.replace(self, hash=""))).hexdigest()


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


class ChainedFile:
    """The file at `path`, gone on with where it ended."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._path = path
        self._clock = clock
        self._minute = 0
        self._in_minute = 0
        self._left_out = 0
        last = last_record(path) or last_record(old_of(path))
        self.head = NO_HASH if last is None else last.hash
        self.count = 0 if last is None else last.number

    def add(self, door: str, address: str, subject: str, why: str) -> None:
        """One more. It is on disk when the head is written to the log, not before."""
        now = self._clock()
        if int(now // 60) != self._minute:
            self._minute, self._in_minute = int(now // 60), 0
        self._in_minute += 1
        if self._in_minute > PER_MINUTE:
            self._left_out += 1
            return
        try:
            if self._left_out:
                self._append(now, door, "", "", f"{self._left_out} more were turned away and not recorded one by one")
                self._left_out = 0
            self._append(now, door, address, subject, why)
        except OSError:  # a full disk must not close the doors
            self._left_out += 1

    def _append(self, now: float, door: str, address: str, subject: str, why: str) -> None:
        cut = (text[:TEXT_LIMIT] for text in (address, subject, why))
        address, subject, why = cut
        record = Record(
            number=self.count + 1,
            at=round(now, 3),
            door=door,
            address=address,
            subject=subject,
            why=why,
            previous=self.head,
        ).sealed()
        if self._path.exists() and self._path.stat().st_size > FILE_LIMIT_BYTES:
            self._path.replace(old_of(self._path))
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "r+b", buffering=0) as file:
            # A line that was cut off, by a crash or a full disk, ends before this one begins.
            torn = file.seek(0, os.SEEK_END) > 0 and os.pread(fd, 1, file.tell() - 1) != b"\n"
            line = (b"\n" if torn else b"") + _encoder.encode(record) + b"\n"
            if file.write(line) != len(line):
                raise OSError("the disk is full")
        self.head, self.count = record.hash, record.number

    def sync(self) -> None:
        """Everything so far is on disk when this returns."""
        if self._path.exists():
            with self._path.open("rb") as file:
                os.fsync(file.fileno())


def old_of(path: Path) -> Path:
    return path.with_name(path.name + ".old")


def read_records(path: Path) -> list[Record]:
    """What is left of it, oldest first. Lines that cannot be read are left out: `find_break` sees if one is missing."""
    lines = [line for file in (old_of(path), path) if file.exists() for line in file.read_bytes().split(b"\n")]
    found = []
    for line in lines:
        with suppress(msgspec.DecodeError):
            found.append(_decoder.decode(line))
    return found


def last_record(path: Path) -> Record | None:
    """The newest whole one of a file."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 16 * 1024))
        lines = file.read().split(b"\n")
    for line in reversed(lines):
        try:
            return _decoder.decode(line)
        except msgspec.DecodeError:
            continue
    return None


def find_break(records: Iterable[Record]) -> str | None:
    """Where the chain does not hold, in words; None when it does."""
    before: Record | None = None
    for record in records:
        if record.hash != record.own_hash():
            return f"record {record.number} was changed"
        if before is not None and (record.previous != before.hash or record.number != before.number + 1):
            return f"something between records {before.number} and {record.number} was taken out or put in"
        before = record
    return None
