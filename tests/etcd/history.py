"""What clients saw of a counter and of unique names, and the rules that it breaks.

`grow` answers with the counter before it; the counter goes up by one each time it takes effect. Pure.
"""

import math
from collections import Counter

import msgspec


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `value` is what `grow` or `read` answered, or the name; `ended` is infinite if that is not known."""

    kind: str  # grow, read, name
    began: float
    ended: float = math.inf
    value: int | str = 0
    outcome: str = "done"  # done, refused (certainly without effect), unknown


def broken_rules(history: list[Seen], counter: int, names: set[str]) -> list[str]:
    """Sentences; none when all is well. `counter` and `names` are what there was in the end."""
    grown = sorted((each for each in history if each.kind == "grow"), key=lambda each: each.began)
    done = [each for each in grown if each.outcome == "done"]
    unknown = [each for each in grown if each.outcome == "unknown"]
    found = [f"two were told {value}" for value, count in Counter(each.value for each in done).items() if count > 1]
    if not len(done) <= counter <= len(done) + len(unknown):
        found.append(f"the counter is {counter} after {len(done)} acknowledged and {len(unknown)} unknown")
    found += [f"{each.value} was acknowledged and the counter is {counter}" for each in done if each.value >= counter]
    found += _out_of_order(done)
    found += _stale_reads(history, done, grown)
    return found + _names(history, names)


def _out_of_order(done: list[Seen]) -> list[str]:
    """Who begins after another has ended comes after it."""
    found = []
    for later in done:
        before = [each.value for each in done if each.ended < later.began]
        if before and max(before) > later.value:
            found.append(f"{later.value} was told after {max(before)} had been")
    return found


def _stale_reads(history: list[Seen], done: list[Seen], grown: list[Seen]) -> list[str]:
    found = []
    reads = sorted((each for each in history if each.kind == "read" and each.outcome == "done"), key=lambda r: r.began)
    highest_read: list[Seen] = []
    for read in reads:
        known = [each.value + 1 for each in done if each.ended < read.began]
        known += [each.value for each in highest_read if each.ended < read.began]
        if known and read.value < max(known):
            found.append(f"a read saw {read.value} when {max(known)} was known")
        possible = sum(1 for each in grown if each.began < read.ended and each.outcome != "refused")
        if read.value > possible:
            found.append(f"a read saw {read.value} of {possible}")
        highest_read.append(read)
    return found


def _names(history: list[Seen], names: set[str]) -> list[str]:
    taken = [str(each.value) for each in history if each.kind == "name" and each.outcome == "done"]
    unknown = {str(each.value) for each in history if each.kind == "name" and each.outcome == "unknown"}
    found = [f"{name} was taken twice" for name, count in Counter(taken).items() if count > 1]
    found += [f"{name} was acknowledged and lost" for name in sorted(set(taken) - names)]
    return found + [f"{name} is there and was refused to all" for name in sorted(names - set(taken) - unknown)]
