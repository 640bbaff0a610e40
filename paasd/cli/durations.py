"""How long something is to last, as people write it."""

import re
from typing import Any, Final

import click

UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}


class Duration(click.ParamType[int]):
    """90, 90s, 30m, 2h, 1d: whole seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([1-9]\d{0,7})([smhd]?)", str(value).strip().lower())
        if match is None:
            self.fail(f"{value!r} is no duration such as 90 (seconds), 30m, 2h or 1d", param, ctx)
        return int(match[1]) * UNITS_S[match[2]]
