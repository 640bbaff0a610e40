"""Label selectors: `env=prod,tier in (a,b),!legacy` as conditions over the labels of a resource. The parser is pure."""

import re
from collections.abc import Mapping

from paasd.api.query import check_parts
from paasd.errors import BadQuery
from paasd.model import Label
from paasd.state import Condition, Eq, In, InSelect, Not

KEY = r"(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
SET = re.compile(rf"({KEY})\s+(in|notin)\s*\(([^()]*)\)")
EQUALITY = re.compile(rf"({KEY})\s*(==|=|!=)\s*([A-Za-z0-9_.-]{{0,63}})")
EXISTS = re.compile(rf"(!?)\s*({KEY})")


def parse_selector(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """The requirements as (key, exists | missing | in | notin, values). Raises BadQuery."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    pieces = _pieces(text)
    check_parts("label_selector", pieces)
    for piece in pieces:
        if match := SET.fullmatch(piece):
            values = tuple(value.strip() for value in match[3].split(","))
            found.append((match[1], match[2], values))
        elif match := EQUALITY.fullmatch(piece):
            found.append((match[1], "notin" if match[2] == "!=" else "in", (match[3],)))
        elif match := EXISTS.fullmatch(piece):
            found.append((match[2], "missing" if match[1] else "exists", ()))
        else:
            raise BadQuery("The query parameter is invalid: Invalid label_selector value")
    return found


def selector_conditions(text: str) -> list[Condition]:
    """Conditions on a record with a `guid` column."""
    made: list[Condition] = []
    for key, verb, values in parse_selector(text):
        match verb:
            case "exists":
                made.append(InSelect("guid", Label, "resource_guid", Eq("key", key)))
            case "missing":
                made.append(Not(InSelect("guid", Label, "resource_guid", Eq("key", key))))
            case "in":
                made.append(InSelect("guid", Label, "resource_guid", Eq("key", key), In("value", values)))
            case _:
                made.append(Not(InSelect("guid", Label, "resource_guid", Eq("key", key), In("value", values))))
    return made


def suits(text: str, labels: Mapping[str, str]) -> bool:
    """Whether a resource that is no row, and has these labels, is among what is asked for. Raises BadQuery."""

    def held(key: str, verb: str, values: tuple[str, ...]) -> bool:
        found = key in labels if verb in ("exists", "missing") else labels.get(key) in values
        return found is (verb in ("exists", "in"))

    return all(held(*requirement) for requirement in parse_selector(text))


def _pieces(text: str) -> list[str]:
    """Split at commas outside brackets."""
    pieces, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            pieces.append(text[start:position].strip())
            start = position + 1
    pieces.append(text[start:].strip())
    return pieces
