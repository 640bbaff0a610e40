"""What internal names mean to an instance, as its resolver asks: names that it may not call do not exist for it."""

from collections.abc import Callable, Mapping


class NotReady(Exception):
    """Nobody has read the rows yet. No answer is better than a wrong one: the question comes again."""


class Names:
    """Made before the database is open; `Reach` fills it."""

    def __init__(self) -> None:
        self._of: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._caller_at: Callable[[str], str] | None = None
        self._organization_at: Callable[[str], str] = lambda address: ""

    def ready(self, caller_at: Callable[[str], str], organization_at: Callable[[str], str]) -> None:
        """From now on answers count. The two tell which app calls from an address and whose it is, "" for none."""
        self._caller_at, self._organization_at = caller_at, organization_at

    def organization(self, address: str) -> str:
        """Whose instance has this address; "" where that is not known, also before `ready`."""
        return self._organization_at(address)

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
