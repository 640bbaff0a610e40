"""From the package manager's last lines to one sentence: which package, why, and what to do."""

import re

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
        r"(?:npm error|npm ERR!) path \S*/node_modules/(\S+)(?=[\s\S]*command failed)|"
        r"(?:npm error|npm ERR!) command failed[\s\S]*?path \S*/node_modules/(\S+)",
        "the install script of '{0}' failed: {last}",
        "the lines above are its output; scripts that download need their host under [staging]",
    ),
    (
        r"(?:ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN|ECONNRESET|EHOSTUNREACH|ENETUNREACH)[^\n]*",
        "cannot reach a host: {line}",
        "only the hosts under [staging] can be reached while staging",
    ),
    (r"ENOSPC|EDQUOT|no space left", "the disk quota is used up", "raise disk_quota in the manifest"),
    (r"EINTEGRITY[^\n]*", "a download does not have the locked digest: {line}", "lock again"),
)


def explain(tail: list[str]) -> tuple[str, str]:
    """(reason, advice) for the tail of a failed install."""
    lines = [line.strip() for line in tail if line.strip()]
    lines = [line for line in lines if "A complete log of this run" not in line and not line.endswith("-debug-0.log")]
    text = "\n".join(lines)
    for pattern, reason, advice in _RULES:
        match = re.search(pattern, text)
        if match is None:
            continue
        groups = [group for group in match.groups() if group] or [match[0]]
        line = next((line for line in lines if match[0].splitlines()[0] in line), match[0])
        return reason.format(groups[0].strip("'\""), line=_plain(line), last=_last(lines)), advice
    return _last(lines), "the lines above say more"


def _plain(line: str) -> str:
    return re.sub(r"^(npm (error|ERR!)( code)?|error|\S*ERR_PNPM\S*)\s+", "", line)[:240]


def _last(lines: list[str]) -> str:
    told = [line for line in lines if re.search(r"error|Error|ERR", line)]
    return _plain((told or lines or ["no output"])[-1])
