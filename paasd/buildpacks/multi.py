"""Cloud Foundry's deps convention: what one buildpack puts into deps/N/ the next ones see."""

import shutil
from collections.abc import Mapping
from pathlib import Path

_STAGING = (
    ("PATH", "bin"),
    ("LD_LIBRARY_PATH", "lib"),
    ("LIBRARY_PATH", "lib"),
    ("CPATH", "include"),
    ("PKG_CONFIG_PATH", "pkgconfig"),
)


def _indexes(deps: Path) -> list[str]:
    """Highest first: the last buildpack's files come first on every path."""
    return sorted((entry.name for entry in deps.iterdir() if entry.is_dir() and entry.name.isdigit()), reverse=True)


def staging_environment(deps: Path, env: Mapping[str, str]) -> dict[str, str]:
    """`env` with what earlier buildpacks supplied."""
    found = dict(env)
    indexes = _indexes(deps) if deps.is_dir() else []
    for variable, folder in _STAGING:
        paths = [str(deps / index / folder) for index in indexes if (deps / index / folder).is_dir()]
        if paths:
            found[variable] = ":".join([*paths, *filter(None, [found.get(variable)])])
    for index in reversed(indexes):
        for file in sorted((deps / index / "env").glob("*")) if (deps / index / "env").is_dir() else ():
            if file.is_file():
                found[file.name] = file.read_text("utf-8", "replace")[:65536]
    return found


def write_profile(deps: Path, profile_d: Path) -> None:
    """000_multi-supply.sh and each deps/N/profile.d/* as N_*; at launch only bin and lib count."""
    profile_d.mkdir(parents=True, exist_ok=True)
    indexes = _indexes(deps)
    lines = []
    for variable, folder in (("PATH", "bin"), ("LD_LIBRARY_PATH", "lib")):
        paths = [f"$DEPS_DIR/{index}/{folder}" for index in indexes if (deps / index / folder).is_dir()]
        if paths:
            lines.append(f'export {variable}={":".join(paths)}$([[ ! -z "${{{variable}:-}}" ]] && echo ":${variable}")')
    if lines:
        (profile_d / "000_multi-supply.sh").write_text("\n".join(lines) + "\n")
    for index in indexes:
        scripts = deps / index / "profile.d"
        for script in sorted(scripts.iterdir()) if scripts.is_dir() else ():
            if script.is_file():
                shutil.copy(script, profile_d / f"{index}_{script.name}")


def link_programs(folder: Path, programs: Mapping[str, str]) -> None:
    """Links in deps/N/bin: name -> absolute path of the program."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in programs.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
