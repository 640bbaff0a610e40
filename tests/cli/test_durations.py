"""How long a token lives, as people write it."""

import click
import pytest

from paasd.cli.durations import Duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1D", 86400), (" 5m ", 300), (60, 60)]
)
def test_durations_are_read(text: object, seconds: int) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1h", "1w", "1.5h", "h", "1h30m", "9" * 20])
def test_what_is_none_is_refused_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="30m, 2h or 1d"):
        Duration().convert(text, None, None)
