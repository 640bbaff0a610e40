"""Reads typed values out of a mapping of unknown shape and collects what is wrong, with the key in every text."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from paasd.model.manifests.sizes import LIMIT_BYTES, MEBIBYTE, UNITS_TEXT, format_bytes, parse_bytes

NUMBER_LIMIT = 2**31 - 1


class Fields:
    """One mapping of a manifest; `where` begins every text about it."""

    def __init__(self, raw: Mapping[Any, Any], where: str, problems: list[str]) -> None:
        self.raw = raw
        self.where = where
        self.problems = problems

    def problem(self, key: str, text: str) -> None:
        """Note that the value of a key is wrong."""
        self.problems.append(f"{self.where}: {key} {text}")

    def has(self, key: str) -> bool:
        """Whether the key is mentioned at all."""
        return key in self.raw

    def text(self, key: str, *, empty: bool = False) -> str | UnsetType:
        """A text; null counts as not mentioned."""
        value = self.raw.get(key)
        if value is None:
            return UNSET
        if not isinstance(value, str):
            self.problem(key, "must be a string; put it in quotes")
            return UNSET
        if not value and not empty:
            self.problem(key, "must not be empty")
            return UNSET
        return value

    def number(self, key: str, *, least: int) -> int | UnsetType:
        """An integer of at least `least`; null counts as not mentioned."""
        value = self.raw.get(key)
        if value is None:
            return UNSET
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(key, "must be an integer")
            return UNSET
        if value < least:
            self.problem(key, f"must be greater than or equal to {least}")
            return UNSET
        if value > NUMBER_LIMIT:
            self.problem(key, f"must be less than or equal to {NUMBER_LIMIT}")
            return UNSET
        return int(value)

    def flag(self, key: str) -> bool:
        """A boolean, False when it is not mentioned."""
        value = self.raw.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.problem(key, "must be a boolean")
            return False
        return value

    def megabytes(self, *keys: str) -> int | UnsetType:
        """A size with a unit, in MB; the first key that is there counts."""
        key = next((key for key in keys if self.raw.get(key) is not None), None)
        if key is None:
            return UNSET
        value = self.raw[key]
        size_bytes = parse_bytes(value) if isinstance(value, str) else None
        if size_bytes is None:
            self.problem(key, f"must use a supported unit: {UNITS_TEXT}")
            return UNSET
        if not MEBIBYTE <= size_bytes <= LIMIT_BYTES:
            self.problem(key, f"must be greater than or equal to 1M and at most {format_bytes(LIMIT_BYTES)}")
            return UNSET
        return size_bytes // MEBIBYTE

    def bytes_or_unlimited(self, key: str) -> int | UnsetType:
        """A size with a unit in bytes; -1 stands for no limit and 0 for none at all."""
        value = self.raw.get(key)
        if value is None:
            return UNSET
        if str(value) in ("-1", "0"):
            return int(value)
        size_bytes = parse_bytes(value) if isinstance(value, str) else None
        if size_bytes is None:
            self.problem(key, f"must use a supported unit: {UNITS_TEXT}, or be -1 for no limit")
            return UNSET
        if size_bytes > LIMIT_BYTES:
            self.problem(key, f"must be at most {format_bytes(LIMIT_BYTES)}, or -1 for no limit")
            return UNSET
        return size_bytes

    def mapping(self, key: str) -> Mapping[Any, Any]:
        """A mapping, {} when it is not mentioned."""
        value = self.raw.get(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problem(key, "must be a mapping of names to values")
            return {}
        return value

    def items(self, key: str) -> Sequence[Any]:
        """A list, () when it is not mentioned."""
        value = self.raw.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.problem(key, "must be a list")
            return ()
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        found: list[str] = []
        for item in self.items(key):
            if isinstance(item, str) and item:
                found.append(item)
            else:
                self.problem(key, "must be a list of strings")
                break
        return found

    def choice(self, key: str, allowed: Sequence[str]) -> str | UnsetType:
        """One of these words."""
        value = self.text(key)
        if isinstance(value, str) and value not in allowed:
            self.problem(key, f"must be one of {', '.join(allowed)}")
            return UNSET
        return value
