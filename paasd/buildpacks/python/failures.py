"""From the installer's last lines to one sentence: which dependency, why, and what to do."""

import re

from ..unreachable import git_failure, request_failure

_RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"Because (\S+) was not found in the package registry",
        "there is no package '{0}' in the package index",
        "check its spelling in the requirements; a private package needs its index under [staging]",
    ),
    (
        r"Because there is no version of (\S+)",
        "there is no such version: {0}",
        "ask for a version that exists",
    ),
    (
        r"requires-python|requires Python|depends on Python|Python>=|Python>|Python<",
        "a dependency does not support this Python: {line}",
        "pin a version of it that does, or ask for another Python in runtime.txt",
    ),
    (
        r"Failed to (?:build|download and build)(?: |: )`?([^`\n]+)`?",
        "the package '{0}' has no wheel for this Python and building it failed: {last}",
        "use a version with a wheel; the lines above are its build's",
    ),
    (
        r"Failed to (?:fetch|download)[^`]*`([^`]+)`",
        "cannot download {0}: {last}",
        "only the hosts under [staging] can be reached while staging; push again if the index was busy",
    ),
    (r"Hash mismatch for `([^`]+)`", "the download of '{0}' does not have the locked digest", "lock again"),
    (r"[Nn]o such file or directory.*|File not found: `([^`]+)`", "{line}", "check the paths in the requirements"),
    (r"Couldn't parse requirement in `([^`]+)`.*", "{line}", "correct that line"),
    (r"No space left on device|os error 28", "the disk quota is used up", "raise disk_quota in the manifest"),
    (r"No solution found", "the requirements contradict each other: {line}", "loosen one of them"),
)


def explain(tail: list[str]) -> tuple[str, str]:
    """(reason, advice) for the tail of a failed uv run."""
    lines = [re.sub("^[\\s\u2500-\u257f\u25b6\u00d7\u23af]+", "", line).strip() for line in tail]
    lines = [line.removeprefix("cause: ") for line in lines if line]
    text = " ".join(lines)
    named = re.search(r"`([A-Za-z0-9._-]+)(?:\[[^\]]*\])? @ ", text)
    what = f"the dependency '{named[1]}'" if named else "a dependency"
    if (unreachable := git_failure(lines)) is not None:
        address = f" ({unreachable.address})" if unreachable.address else ""
        return f"{what}{address} cannot be fetched with Git: {unreachable.cause}", unreachable.advice
    if (unreachable := request_failure(lines)) is not None:
        return f"{what} ({unreachable.address}) cannot be downloaded: {unreachable.cause}", unreachable.advice
    for pattern, reason, advice in _RULES:
        match = re.search(pattern, text)
        if match is None:
            continue
        groups = [group for group in match.groups() if group] or [match[0]]
        line = next((line for line in lines if re.search(pattern, line)), match[0])
        line = _sentence(text, match.start()) if len(line) < 40 else line
        return reason.format(groups[0].strip(" ,."), line=_short(line), last=_short(lines[-1] if lines else "")), advice
    return _short(next((line for line in lines if line.startswith("error")), lines[-1] if lines else "no output")), (
        "the lines above say more"
    )


def _sentence(text: str, start: int) -> str:
    begin = max(text.rfind(". ", 0, start), text.rfind(": ", 0, start), 0)
    return text[begin : begin + 300].lstrip(". :")


def _short(text: str, limit: int = 240) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
