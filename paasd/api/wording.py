"""What is wrong with a body, in Cloud Foundry's words: those of msgspec name types of Python and places of its own."""

import re
from typing import Final

KINDS: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
LENGTHS: Final = {"str": "character", "array": "entry", "object": "entry"}
BOUNDS: Final = {
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
    "<": "less than",
    ">": "greater than",
}
PLACED: Final = re.compile(r"(.*) - at `(?:key` in `)?\$\.?([^`]*)`", re.DOTALL)


def in_words(text: str) -> str:
    """What a client reads of an error of msgspec."""
    problem, place = match.groups() if (match := PLACED.fullmatch(text)) else (text, "")
    place = place.replace("[...]", ".*")
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", problem, re.DOTALL):
        return f"Unknown field(s): '{match[1]}'" + (f" in {place}" if place else "")
    if match := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return f"{_subject(f'{place}.{match[1]}' if place else match[1])} can't be blank"
    return f"{_subject(place or 'body')} {_predicate(problem)}"


def _subject(place: str) -> str:
    """`relationships.space` as a sentence begins with it."""
    words = place.replace("_", " ")
    return words[:1].upper() + words[1:]


def _predicate(problem: str) -> str:
    if match := re.fullmatch(r"Expected `(\w+)` of length (<=|>=) (\d+)", problem):
        return _length(match[1], match[2], match[3])
    if match := re.fullmatch(r"Expected `\w+` (<=|>=|<|>) (\S+)", problem):
        return f"must be {BOUNDS[match[1]]} {match[2]}"
    if match := re.fullmatch(r"Expected `(.*)`, got `(.*)`", problem):
        wanted = " or ".join(KINDS.get(kind, kind) for kind in match[1].split(" | ") if kind != "null")
        return f"must be {wanted}, not {KINDS.get(match[2], match[2])}"
    return "is invalid"


def _length(kind: str, bound: str, limit: str) -> str:
    if bound == ">=" and limit == "1":
        return "can't be blank"
    unit = LENGTHS[kind]
    units = unit if limit == "1" else f"{unit.removesuffix('y')}ies" if unit.endswith("y") else f"{unit}s"
    word, extreme = ("long", "maximum") if bound == "<=" else ("short", "minimum")
    return f"is too {word} ({extreme} is {limit} {units})"
