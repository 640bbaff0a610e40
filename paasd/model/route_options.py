"""What can be said of a route beside its name: how requests are spread, and by which shares. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from paasd.errors import Unprocessable

ALGORITHMS: Final = ("round-robin", "least-connection", "hash")
FIELDS: Final = ("loadbalancing", "hash_header", "hash_balance")
HEADER_LIMIT: Final = 128
_HEADER_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")


def check_options(options: Mapping[str, Any]) -> None:
    """Raise Unprocessable, in Cloud Foundry's words, for options that a route cannot have; None takes one away."""
    present = {name: value for name, value in options.items() if value not in (None, "")}
    if unknown := [name for name in present if name not in FIELDS]:
        listed = "', '".join(unknown)
        raise Unprocessable(f"Unknown field(s): '{listed}'")
    algorithm = present.get("loadbalancing")
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise Unprocessable(f"Loadbalancing must be one of '{', '.join(ALGORITHMS)}' if present")
    if algorithm != "hash":
        for name in FIELDS[1:]:
            if name in present:
                raise Unprocessable(f"{_spoken(name)} can only be set when loadbalancing is hash")
        return
    _check_header(present.get("hash_header"))
    _check_balance(present.get("hash_balance"))


def check_tcp_options(options: Mapping[str, Any]) -> None:
    """Likewise for a route with a port: its connections have no headers to make a hash of."""
    check_options(options)
    if options.get("loadbalancing") == "hash":
        raise Unprocessable("Loadbalancing cannot be hash for TCP routes")


def _check_header(header: Any) -> None:
    if header is None:
        raise Unprocessable("Hash header must be present when loadbalancing is set to hash")
    if not isinstance(header, str) or not set(header.lower()) <= _HEADER_CHARACTERS:
        raise Unprocessable("Hash header must be the name of a request header")
    if len(header) > HEADER_LIMIT:
        raise Unprocessable(f"Hash header must be at most {HEADER_LIMIT} characters")


def _check_balance(balance: Any) -> None:
    if balance is not None and hash_balance(balance) is None:
        raise Unprocessable("Hash balance must be either 0 or between 1.1 and 10.0")


def hash_balance(value: Any) -> float | None:
    """How much more than the average an instance may get; 0 is no bound. None for what is no balance."""
    if isinstance(value, bool) or len(str(value)) > 16:
        return None
    try:
        balance = float(value)
    except (TypeError, ValueError):
        return None
    return balance if balance == 0 or 1.1 <= balance <= 10 else None


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()


def check_weights(weights: Sequence[int | None]) -> None:
    """Raise Unprocessable unless no destination of a route has a share, or all have and these make 100 together."""
    if all(weight is None for weight in weights):
        return
    for index, weight in enumerate(weights):
        if weight is not None and not 1 <= weight <= 100:
            raise Unprocessable(f"Destinations[{index}]: weight must be a positive integer between 1 and 100.")
    if any(weight is None for weight in weights):
        raise Unprocessable("Destinations cannot contain both weighted and unweighted destinations.")
    if sum(weight or 0 for weight in weights) != 100:
        raise Unprocessable("Destinations must have weights that sum to 100.")
