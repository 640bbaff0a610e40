"""Last phase, with no process of the app alive: what was built becomes read-only images whose root is `/`."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .failure import StagingFailure
from .interface import Layout


def pack(request: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Write app.sqfs, layer-N.sqfs for each new dependency layer, and cache.sqfs. Gives packed.json: name -> bytes."""
    result = json.loads((layout.staging / "result.json").read_text())
    out = layout.staging / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    granted = set(request.get("granted", ()))
    timed, timeless = request["squashfs"]["timed"], request["squashfs"]["timeless"]
    sizes: dict[str, int] = {}
    excluded: list[str] = []
    if request["images"] == "cache":
        return {"cache": _squash([layout.cache], out / "cache.sqfs", timed, root=layout.root)}
    for number, layer in enumerate(result["layers"]):
        if layer["launch"]:
            excluded += layer["paths"]
        if layer["key"] in granted:
            continue
        sources = [Path(path) for path in ([layer["tree"]] if layer["tree"] else layer["paths"])]
        image = out / f"layer-{number}.sqfs"
        sizes[image.stem] = _squash(sources, image, timeless, root=None if layer["tree"] else layout.root)
    parts = [layout.app, layout.deps, layout.profile_d, layout.home / "staging_info.yml"]
    parts = [part for part in parts if part.exists()]
    sizes["app"] = _squash(parts, out / "app.sqfs", timed, root=layout.root, excluded=excluded)
    return sizes


def _squash(
    sources: list[Path], image: Path, options: list[str], *, root: Path | None, excluded: list[str] | None = None
) -> int:
    """One image; with `root` it keeps the sources' whole paths as seen from there. Gives its size in bytes."""
    named = sources if root is None else [source.relative_to(root) for source in sources]
    command = ["mksquashfs", *map(str, named), str(image), *options]
    command += ["-no-strip"] if root is not None else []
    command += ["-e", *excluded] if excluded else []
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
        cwd=root or "/",
        check=False,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"mksquashfs exited with {done.returncode}"
        advice = "raise disk_quota in the manifest" if "space" in reason.lower() else ""
        raise StagingFailure("pack", f"cannot pack {image.stem}: {reason}", advice)
    return image.stat().st_size
