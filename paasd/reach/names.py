"""What internal names mean to an instance, as its resolver asks: names that it may not call do not exist for it."""

from collections.abc import Callable, Mapping


class NotReady(Exception):
    """Nobody has read the rows yet. No answer is better than a wrong one: the question comes again."""


class Names:
    """Made before the database is open; `Reach` fills it."""

    def __init__(self) -> None:
        self._of: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._caller_at: Callable[[str], str] | None = None

    def ready(self, caller_at: Callable[[str], str]) -> None:
        """From now on answers count. `caller_at` tells which app calls from an address, "" for none."""
        self._caller_at = caller_at

    def set(self, caller: str, names: Mapping[str, tuple[str, ...]]) -> None:
        """What an app may call, by lower-case name."""
        if names:
            self._of[caller] = names
        else:
            self._of.pop(caller, None)

    def lookup(self, address: str, name: str) -> tuple[str, ...] | None:
        """The addresses of an internal name for who asks from `address`; None if there is none for it.

        Raises NotReady.
        """
        if self._caller_at is None:
            raise NotReady
        return self._of.get(self._caller_at(address), {}).get(name)
