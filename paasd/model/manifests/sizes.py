"""Sizes with units, as manifests write them: `64M`, `1GB`, `16K`."""

import re

SIZE = re.compile(r"\s*(\d{1,18}(?:\.\d{1,6})?)\s*(B|K|KB|M|MB|G|GB|T|TB)\s*", re.IGNORECASE)
UNITS = {"B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
UNITS_TEXT = "B, K, KB, M, MB, G, GB, T, or TB"
MEBIBYTE = 1024**2
LIMIT_BYTES = 2**51


def parse_bytes(text: str) -> int | None:
    """The size in bytes; None when it is no number with a unit."""
    match = SIZE.fullmatch(text)
    if match is None:
        return None
    number, unit = match.groups()
    factor = UNITS[unit[0].upper()]
    return int(number) * factor if "." not in number else int(float(number) * factor)


def format_mb(megabytes: int) -> str:
    """`512M`, `2G`: the largest unit without a remainder."""
    return format_bytes(megabytes * MEBIBYTE)


def format_bytes(size_bytes: int) -> str:
    """`16K`, `1M`: the largest unit without a remainder."""
    for unit in ("T", "G", "M", "K"):
        if size_bytes and size_bytes % UNITS[unit] == 0:
            return f"{size_bytes // UNITS[unit]}{unit}"
    return f"{size_bytes}B"
