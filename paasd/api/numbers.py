"""Whole numbers that clients send: in an address or a query, and in a body. All fit into a column, so none is a 500.

`isdigit` also means superscripts and other scripts, and `int` refuses 4,300 digits and SQLite 64 bits: nothing in the
API turns text into a number by itself, and a test looks.
"""

import re
from typing import Annotated, Final

import msgspec

LEAST: Final = -(2**63)
MOST: Final = 2**63 - 1
WHOLE: Final = re.compile(r"-?[0-9]{1,19}")

Number = Annotated[int, msgspec.Meta(ge=LEAST, le=MOST)]
"""What every whole number of a body is at least held to; the model knows the limits of each, and their words."""

Positive = Annotated[int, msgspec.Meta(gt=0, le=2**31 - 1)]
"""Sizes in MB, of which some add up to less than what a column takes."""


def whole(text: str, least: int = 0, most: int = MOST) -> int | None:
    """The number between `least` and `most` that a text is, None when it is none of these."""
    if not WHOLE.fullmatch(text):
        return None
    return found if least <= (found := int(text)) <= most else None
