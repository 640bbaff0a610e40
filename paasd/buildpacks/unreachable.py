"""What package managers say when Git or a host cannot be reached, reduced to the address and the cause. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"(?:git\+)?((?:https?|ssh|git)://[^\s'\"`,)]+)")
_GIT = re.compile(
    r"\bgit\b.*\b(?:ls-remote|fetch|clone)\b|^Arguments: (?:ls-remote|fetch|clone)\b|listing refs|@ git\+"
)
_CAUSES = (
    re.compile(r"[Ff]atal(?: Error)?: unable to access '[^']*': (.+)"),
    re.compile(r"(ssh: .+)"),
    re.compile(r"[Ff]atal(?: Error)?: (.+)"),
)
_REQUEST = re.compile(r"request to (\S+) failed, reason: (.+)|Failed to fetch: `?(\S+?)`?$|GET (\S+): (.+)")
_NAME_LOOKUP = re.compile(
    r"EAI_AGAIN|ENOTFOUND|failed to lookup address|not resolve host|Temporary failure in name", re.I
)
_REFUSED = re.compile(r"ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|timed out|[Cc]onnection refused", re.I)


@dataclass(frozen=True)
class Unreachable:
    """An address that was asked for and did not answer."""

    address: str
    cause: str

    @property
    def advice(self) -> str:
        host = urlsplit(self.address).hostname or "that host"
        return f"check its address, or have the operator allow {host} under [staging]: builds reach nothing else"


def git_failure(lines: Sequence[str]) -> Unreachable | None:
    """The repository that Git did not get, and Git's last word on it."""
    asked = [line for line in lines if _GIT.search(line)]
    cause = next((match[1] for pattern in _CAUSES for line in lines if (match := pattern.search(line))), None)
    if not asked or cause is None:
        return None
    found = next((match[1] for line in [*asked, *lines] if (match := _ADDRESS.search(line))), "")
    return Unreachable(found.rstrip(":/"), cause.strip().rstrip("."))


def request_failure(lines: Sequence[str]) -> Unreachable | None:
    """The address of a download that got no answer at all."""
    text = "\n".join(lines)
    for line in lines:
        match = _REQUEST.search(line)
        if match is None:
            continue
        address = match[1] or match[3] or match[4]
        if _NAME_LOOKUP.search(text):
            return Unreachable(address, "its host's name is not known here")
        if _REFUSED.search(text):
            return Unreachable(address, "its host does not answer")
    return None


def dependency_of(address: str, specifications: Mapping[str, str]) -> str | None:
    """The dependency whose specification (`git+https://...`, `owner/name`) leads to this address."""
    place = _place(address)
    for name, specification in specifications.items():
        wanted = _place(specification)
        if "/" in wanted and (place == wanted or place.endswith("/" + wanted)):
            return name
    return None


def _place(address: str) -> str:
    """Host and path, without what one way of writing adds to the other."""
    text = address.partition("#")[0].removeprefix("git+")
    text = re.sub(r"^(?:github|gitlab|bitbucket|gist):(?!/)", "", text)
    text = re.sub(r"^\w+://", "", text).rpartition("@")[2]
    return text.removesuffix("/").removesuffix(".git").replace(":", "/").lower()
