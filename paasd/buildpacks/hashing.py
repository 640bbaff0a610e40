"""Digests: what a tree of files holds, and xxHash64, after which Cloud Foundry names cache directories."""

import hashlib
import os
import stat
from pathlib import Path

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
_P4, _P5 = 9650029242287828579, 2870177450012600261


def _rotate(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


def _round(accumulator: int, lane: int) -> int:
    return (_rotate((accumulator + lane * _P2) & _MASK, 31) * _P1) & _MASK


def xxh64(data: bytes, seed: int = 0) -> str:
    """xxHash64 as sixteen hexadecimal digits (https://xxhash.com, specification 0.1.1)."""
    length, offset = len(data), 0
    if length >= 32:
        lanes = [(seed + _P1 + _P2) & _MASK, (seed + _P2) & _MASK, seed, (seed - _P1) & _MASK]
        while offset + 32 <= length:
            for index in range(4):
                lanes[index] = _round(lanes[index], int.from_bytes(data[offset : offset + 8], "little"))
                offset += 8
        value = sum(_rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            value = ((value ^ _round(0, lane)) * _P1 + _P4) & _MASK
    else:
        value = (seed + _P5) & _MASK
    value = (value + length) & _MASK
    while offset + 8 <= length:
        value ^= _round(0, int.from_bytes(data[offset : offset + 8], "little"))
        value = (_rotate(value, 27) * _P1 + _P4) & _MASK
        offset += 8
    if offset + 4 <= length:
        value ^= (int.from_bytes(data[offset : offset + 4], "little") * _P1) & _MASK
        value = (_rotate(value, 23) * _P2 + _P3) & _MASK
        offset += 4
    for byte in data[offset:]:
        value = (_rotate(value ^ ((byte * _P5) & _MASK), 11) * _P1) & _MASK
    value = ((value ^ (value >> 33)) * _P2) & _MASK
    value = ((value ^ (value >> 29)) * _P3) & _MASK
    return f"{value ^ (value >> 32):016x}"


def digest(*parts: str | bytes) -> str:
    """SHA-256 over parts, each preceded by its length, so that no two lists of parts collide."""
    state = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        state.update(len(raw).to_bytes(8, "big"))
        state.update(raw)
    return state.hexdigest()


def tree_digest(root: Path) -> str:
    """What `root` holds: names, kinds, exec bits and contents; not times, so that a fresh checkout is the same."""
    state = hashlib.sha256()
    for directory, folders, files in os.walk(root):
        folders.sort()
        base = Path(directory)
        linked = [name for name in folders if (base / name).is_symlink()]
        for name in sorted([*files, *linked]):
            path = base / name
            entry = path.lstat()
            state.update(path.relative_to(root).as_posix().encode("utf-8", "surrogateescape") + b"\0")
            if stat.S_ISLNK(entry.st_mode):
                state.update(b"link " + os.fsencode(path.readlink()) + b"\0")
            elif stat.S_ISREG(entry.st_mode):
                state.update(b"exec " if entry.st_mode & 0o100 else b"file ")
                with path.open("rb") as file:
                    state.update(hashlib.file_digest(file, "sha256").digest())
    return state.hexdigest()


def tree_listing(root: Path, *, ignored: frozenset[str] = frozenset()) -> dict[str, tuple[int, int]]:
    """Path -> (size, ctime in ns) of every file below `root`: what a build wrote to shows, no program sets it."""
    found: dict[str, tuple[int, int]] = {}
    for directory, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in ignored]
        for name in files:
            entry = (Path(directory) / name).lstat()
            found[f"{directory}/{name}"] = (entry.st_size, entry.st_ctime_ns)
    return found
