"""Which version a file asks for: npm ranges, Cloud Foundry's `3.11.x`, Python specifiers. No pre-releases."""

import re
from collections.abc import Iterable

Version = tuple[int, ...]


class BadRange(ValueError):
    """The range cannot be read."""


def parse(text: str) -> Version:
    """`v3.11.2` -> (3, 11, 2). Raises BadRange."""
    match = re.fullmatch(r"[vV=\s]*(\d+(?:\.\d+)*)(?:[-+].*)?", text.strip())
    if match is None:
        raise BadRange(text)
    return tuple(int(part) for part in match[1].split("."))


def newest(available: Iterable[str], wanted: str, *, style: str) -> str | None:
    """The highest of `available` that satisfies `wanted`; style "npm" or "python". Raises BadRange."""
    test = npm_range(wanted) if style == "npm" else python_range(wanted)
    fitting = [name for name in available if test(_padded(parse(name)))]
    return max(fitting, key=lambda name: parse(name), default=None)


def _padded(version: Version) -> Version:
    return (*version, 0, 0, 0)[:3]


class _Test:
    """Any of several groups of bounds; a bound is (operator, version)."""

    def __init__(self, groups: list[list[tuple[str, Version]]]) -> None:
        self._groups = groups

    def __call__(self, version: Version) -> bool:
        return any(all(_holds(version, operator, bound) for operator, bound in group) for group in self._groups)


def _holds(version: Version, operator: str, bound: Version) -> bool:
    return {
        ">=": version >= bound,
        ">": version > bound,
        "<": version < bound,
        "<=": version <= bound,
        "==": version == bound,
        "!=": version != bound,
    }[operator]


def _up(version: Version, place: int) -> Version:
    """The first version above every one that shares `place` leading numbers."""
    return _padded((*version[: place - 1], version[place - 1] + 1)) if place else (10**9, 0, 0)


def _wild(text: str) -> Version:
    """Leading numbers of `1.2.x`, `1`, `*`."""
    numbers: list[int] = []
    if re.fullmatch(r"[vV=\s]*[0-9xX*.]*(?:[-+].*)?\s*", text) is None:
        raise BadRange(text)
    for part in re.split(r"[-+]", text.strip().lstrip("vV="), maxsplit=1)[0].split("."):
        if part in ("x", "X", "*", ""):
            break
        if not part.isdigit():
            raise BadRange(text)
        numbers.append(int(part))
    return tuple(numbers[:3])


def npm_range(text: str) -> _Test:
    """https://github.com/npm/node-semver#ranges"""
    groups = []
    for alternative in text.split("||"):
        joined = re.sub(r"([<>=~^]+)\s+", r"\1", alternative.strip())
        hyphen = re.fullmatch(r"(\S+)\s+-\s+(\S+)", joined)
        if hyphen:
            top = _wild(hyphen[2])
            high = ("<=", top) if len(top) == 3 else ("<", _up(top, len(top)))
            groups.append([(">=", _padded(_wild(hyphen[1]))), high])
            continue
        group: list[tuple[str, Version]] = []
        for term in joined.split():
            group.extend(_npm_term(term))
        groups.append(group)
    return _Test(groups)


def _npm_term(term: str) -> list[tuple[str, Version]]:
    match = re.fullmatch(r"(>=|<=|>|<|=|\^|~>?)?(.*)", term)
    operator, version = (match[1] or "", _wild(match[2])) if match else ("", ())
    low = _padded(version)
    if not version:
        return []
    if operator == "^":
        place = next((index + 1 for index, number in enumerate(version) if number), len(version))
        return [(">=", low), ("<", _up(version, place))]
    if operator.startswith("~"):
        return [(">=", low), ("<", _up(version, min(2, len(version))))]
    if operator in ("", "="):
        return [("==", low)] if len(version) == 3 else [(">=", low), ("<", _up(version, len(version)))]
    if operator == "<=" and len(version) < 3:
        return [("<", _up(version, len(version)))]
    if operator == ">" and len(version) < 3:
        return [(">=", _up(version, len(version)))]
    return [(operator, low)]


def python_range(text: str) -> _Test:
    """`3.11`, `3.11.x`, `3.11.4`, `python-3.11.4`, PEP 440 specifiers joined by commas; poetry's `^` and `~` too."""
    group: list[tuple[str, Version]] = []
    for term in text.split(","):
        match = re.fullmatch(r"\s*(===?|~=|!=|>=|<=|>|<|\^|~)?\s*(?:python-|cpython-|cpython@)?(\S*?)\s*", term)
        if match is None:
            raise BadRange(text)
        operator, written = match[1] or "", match[2]
        version = _wild(re.sub(r"(\d)(a|b|rc|\.dev)\d*$", r"\1", written))
        low = _padded(version)
        if not version:
            continue
        prefix = len(version) < 3 or written.endswith("*")
        if operator == "~=":
            group += [(">=", low), ("<", _up(version, max(1, len(version) - 1)))]
        elif operator in ("^", "~"):
            group += _npm_term(f"{operator}{'.'.join(map(str, version))}")
        elif operator in ("", "==", "==="):
            group += [(">=", low), ("<", _up(version, len(version)))] if prefix else [("==", low)]
        elif operator == "<=" and prefix:
            group.append(("<", _up(version, len(version))))
        elif operator != "!=" or not prefix:
            group.append((operator, low))
    return _Test([group])
