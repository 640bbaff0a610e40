"""Pipfile and Pipfile.lock as requirement lines; uv does not read them."""

from typing import Any

from ..failure import StagingFailure
from ..interface import Project
from .sources import read_json, read_toml


def requirement_lines(project: Project, name: str) -> list[str]:
    """Lines for a requirements file: the default group, hashes and own indexes included."""
    if name == "Pipfile.lock":
        content = read_json(project, name)
        packages, sources = content.get("default") or {}, (content.get("_meta") or {}).get("sources") or []
    else:
        content = read_toml(project, name)
        packages, sources = content.get("packages") or {}, content.get("source") or []
    if not isinstance(packages, dict):
        raise StagingFailure("python", f"{name} has no table of packages", "lock again and push the new file")
    return [*_indexes(sources), *(_line(package, entry) for package, entry in packages.items())]


def _indexes(sources: Any) -> list[str]:
    """Own indexes; the public one stands for whatever the operator configured."""
    urls = [str(source.get("url")) for source in sources if isinstance(source, dict) and source.get("url")]
    return [f"--extra-index-url {url}" for url in urls if "pypi.org/simple" not in url and "$" not in url]


# A Pipfile may have a marker's variable as a key of its own: sys_platform = "== 'win32'".
_VARIABLES = (
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_version",
    "python_full_version",
    "implementation_name",
    "implementation_version",
)


def _marker(entry: dict[str, Any]) -> str:
    conditions = [str(entry["markers"])] if entry.get("markers") else []
    conditions += [f"{name} {entry[name]}" for name in _VARIABLES if entry.get(name)]
    if len(conditions) > 1:
        conditions = [f"({one})" for one in conditions]
    return f" ; {' and '.join(conditions)}" if conditions else ""


def _line(package: str, entry: Any) -> str:
    if isinstance(entry, str):
        entry = {"version": entry}
    if not isinstance(entry, dict):
        raise StagingFailure("python", f"the entry of {package} is no package", "lock again and push the new file")
    extras = f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""
    marker = _marker(entry)
    if entry.get("git"):
        reference = f"@{entry['ref']}" if entry.get("ref") else ""
        return f"{package}{extras} @ git+{entry['git']}{reference}{marker}"
    if entry.get("path"):
        return f"{'-e ' if entry.get('editable') else ''}{entry['path']}{extras}"
    if entry.get("file"):
        return f"{package}{extras} @ {entry['file']}{marker}"
    version = str(entry.get("version") or "*")
    version = "" if version == "*" else version
    hashes = "".join(f" --hash={value}" for value in entry.get("hashes") or ())
    return f"{package}{extras}{version}{marker}{hashes}"
