"""From the package manager's last lines to one sentence: which package, why, and what to do."""

import re
from collections.abc import Mapping

from ..unreachable import Unreachable, dependency_of, git_failure, request_failure

_PREFIX = re.compile(
    r"^(?:npm (?:error|ERR!)(?: code)?|error|\S*ERR_PNPM\S*|\u27a4 YN\d+: [\u2502\u250c\u2514\u00b7]?)\s*"
)
_INSTALL_SCRIPT = re.compile(r"(?:npm error|npm ERR!) path (\S+)(?=[\s\S]*command failed)")
_CAUSE = re.compile(r"\b\w*Error\b|\bE[A-Z]{4,}\b|\berror\b|not found|cannot|failed")
_RULES: tuple[tuple[str, str, str], ...] = (
    (
        r"(?:npm error|npm ERR!) 404\s+'?([^'\s]+)'? is not in (?:this|the npm) registry|404 Not Found - GET \S+/(\S+)",
        "there is no package '{0}' in the registry",
        "check its name; a private one needs its registry in .npmrc and allowed under [staging]",
    ),
    (
        r"No matching version found for ([^\s]+?)\.?(?:\s|$)|ERR_PNPM_NO_MATCHING_VERSION[^\n]*?for (\S+)|"
        r"Couldn't find any versions for \"(\S+)\"",
        "there is no such version: {0}",
        "ask for a version that exists",
    ),
    (
        r"can only install packages when your package\.json and package-lock\.json|lockfile needs to be updated|"
        r"ERR_PNPM_OUTDATED_LOCKFILE|The lockfile would have been modified",
        "the lock file does not match package.json",
        "run the package manager's install on your machine and push the new lock file",
    ),
    (
        r"ERESOLVE[^\n]*|unable to resolve dependency tree",
        "dependencies contradict each other: {line}",
        "align their versions",
    ),
    (
        r"EBADENGINE|ERR_PNPM_UNSUPPORTED_ENGINE|engine \"node\" is incompatible",
        "a package wants another Node.js: {line}",
        "set engines.node",
    ),
    (
        r"(?:ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET|EHOSTUNREACH|ENETUNREACH)[^\n]*",
        "cannot reach a host: {line}",
        "only the hosts under [staging] can be reached while staging",
    ),
    (r"ENOSPC|EDQUOT|no space left", "the disk quota is used up", "raise disk_quota in the manifest"),
    (r"EINTEGRITY[^\n]*", "a download does not have the locked digest: {line}", "lock again"),
)


def explain(tail: list[str], specifications: Mapping[str, str] | None = None) -> tuple[str, str]:
    """(reason, advice) for the tail of a failed install; `specifications`: what package.json asks for, by name."""
    lines = [line.strip() for line in tail if line.strip()]
    lines = [line for line in lines if "A complete log of this run" not in line and not line.endswith("-debug-0.log")]
    text = "\n".join(lines)
    if (unreachable := git_failure(lines)) is not None:
        return (
            f"{_named(unreachable, specifications)} cannot be fetched with Git: {unreachable.cause}",
            unreachable.advice,
        )
    if (script := _INSTALL_SCRIPT.search(text)) is not None:
        advice = "the lines above are its output; scripts that download need their host under [staging]"
        return f"the install script of '{_package_at(script[1])}' failed: {_cause(lines)}", advice
    if (unreachable := request_failure(lines)) is not None:
        return f"{_named(unreachable, specifications)} cannot be downloaded: {unreachable.cause}", unreachable.advice
    for pattern, reason, advice in _RULES:
        match = re.search(pattern, text)
        if match is None:
            continue
        groups = [group for group in match.groups() if group] or [match[0]]
        line = next((line for line in lines if match[0].splitlines()[0] in line), match[0])
        return reason.format(groups[0].strip("'\""), line=_plain(line)), advice
    return _cause(lines), "the lines above say more"


def _named(unreachable: Unreachable, specifications: Mapping[str, str] | None) -> str:
    name = dependency_of(unreachable.address, specifications or {})
    return f"the dependency '{name}' ({unreachable.address})" if name else f"a dependency ({unreachable.address})"


def _package_at(path: str) -> str:
    _, modules, name = path.rpartition("node_modules/")
    return name if modules else path.rpartition("/")[2]


def _plain(line: str) -> str:
    return _PREFIX.sub("", line)[:240]


def _cause(lines: list[str]) -> str:
    """The likeliest line: the first that names an error and is neither a summary nor a place in a program."""
    told = [
        plain
        for line in lines
        if (plain := _plain(line)) and not re.match(r"at \S|command |Command failed|code ", plain)
    ]
    return next((line for line in told if _CAUSE.search(line)), told[-1] if told else "no output")
