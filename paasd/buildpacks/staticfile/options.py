"""Staticfile and Staticfile.auth: the documented options, with their defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..failure import StagingFailure
from ..interface import Project
from ..plainyaml import YamlError, load

_ADVICE = "see the documented options of the static file buildpack"
_BUILT = ("_site", "dist", "build", "out", "public")
_FAMILIES = {
    "4xx": "400 401 402 403 404 405 406 407 408 409 410 411 412 413 414 415 416 417 418 421 422 423 424 426 428 429 "
    "431 451",
    "5xx": "500 501 502 503 504 505 506 507 508 510 511",
}


@dataclass(frozen=True)
class Options:
    """How nginx serves the site."""

    root: str = ""
    host_dot_files: bool = False
    location_include: str = ""
    directory: bool = False
    ssi: bool = False
    pushstate: bool = False
    force_https: bool = False
    enable_http2: bool = False
    http_strict_transport_security: bool = False
    http_strict_transport_security_include_subdomains: bool = False
    http_strict_transport_security_preload: bool = False
    status_codes: Mapping[str, str] = field(default_factory=dict)
    htpasswd: str = ""
    unknown: tuple[str, ...] = ()


def read(project: Project) -> Options:
    """The app's options. Raises StagingFailure naming the option."""
    try:
        found = load(project.read("Staticfile")) if project.has("Staticfile") else None
    except YamlError as error:
        raise StagingFailure("staticfile", f"the Staticfile is not valid YAML: {error}", "correct that line") from error
    auth = project.read("Staticfile.auth") if project.has("Staticfile.auth") else ""
    return parse(found, auth, project)


def with_built_root(options: Options, app: Path) -> Options:
    """Without a `root` and without a page at the app's root, serve where site generators leave theirs."""
    if options.root or any((app / name).is_file() for name in ("index.html", "index.htm", "Default.htm")):
        return options
    built = next((name for name in _BUILT if (app / name / "index.html").is_file()), "")
    return replace(options, root=built)


def parse(found: Any, auth: str, project: Project | None = None) -> Options:
    """Options from the parsed Staticfile. Raises StagingFailure."""
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise StagingFailure("staticfile", "the Staticfile is not a list of 'option: value' lines", _ADVICE)
    names = {name for name in Options.__dataclass_fields__ if name not in ("htpasswd", "unknown")}
    values: dict[str, Any] = {"htpasswd": auth, "unknown": tuple(sorted(set(map(str, found)) - names))}
    for name in names & set(found):
        value = found[name]
        if name in ("root", "location_include"):
            values[name] = str(value or "").strip().rstrip("/")
        elif name == "status_codes":
            values[name] = _status_codes(value)
        else:
            values[name] = _switch(name, value)
    options = Options(**values)
    _check_root(options, project)
    return options


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("true", "enabled", "visible", "yes", "on", "1"):
        return True
    if text in ("false", "disabled", "hidden", "no", "off", "0", "none", ""):
        return False
    raise StagingFailure("staticfile", f"{name} in the Staticfile is {value!r}", "write true or false")


def _status_codes(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise StagingFailure(
            "staticfile", "status_codes in the Staticfile is not a map", "write for example '  404: /404.html'"
        )
    codes: dict[str, str] = {}
    for code, page in value.items():
        if not (str(code).isdigit() or str(code) in _FAMILIES) or not page:
            raise StagingFailure(
                "staticfile", f"status code {str(code)!r} in the Staticfile is none", "write 404, 4xx or 5xx"
            )
        codes[_FAMILIES.get(str(code), str(code))] = str(page)
    return codes


def _check_root(options: Options, project: Project | None) -> None:
    if not options.root or project is None:
        return
    path = (project.app / options.root).resolve()
    if not path.is_relative_to(project.app.resolve()) or path == project.app.resolve():
        raise StagingFailure("staticfile", f"root {options.root!r} in the Staticfile leads outside the app", _ADVICE)
    if not path.is_dir():
        raise StagingFailure(
            "staticfile",
            f"root {options.root!r} in the Staticfile is not a directory of the app",
            "build the site before you push it, or name the directory that holds index.html",
        )


def notes(options: Options) -> list[str]:
    """What was switched on, and what was not understood."""
    lines = [f"Root folder {options.root}"] if options.root else []
    switched = [name for name, value in vars(options).items() if value is True]
    lines += [f"Enabling {', '.join(sorted(switched))}"] if switched else []
    lines += ["Enabling basic authentication with Staticfile.auth"] if options.htpasswd else []
    lines += [f"Ignoring unknown option {name}" for name in options.unknown]
    return lines
