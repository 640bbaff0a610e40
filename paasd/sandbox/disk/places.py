"""Where a layer may have files. Blocks."""

import os
from collections.abc import Mapping
from pathlib import Path

from paasd.errors import PaasdError

# Directories, by name; what lies below an empty one is the layer's own affair.
_Places = Mapping[str, "_Places"]
_PLACES: _Places = {"home": {"vcap": {}}, "opt": {"toolchains": {}}}


class LayerRefused(PaasdError):
    """A layer holds something where no layer may."""


def check_places(tree: Path) -> None:
    """Raises LayerRefused when something of the stack would disappear under this layer.

    Whoever builds chooses the paths in it. Were it to bring a /usr/bin/python3 of its own, the step that packs the next
    build would be the tenant's, and with it the bytes of a file system that this host mounts as root.
    """
    _check(tree, _PLACES, "")


def _check(tree: Path, allowed: _Places, shown: str) -> None:
    with os.scandir(tree) as entries:
        for entry in entries:
            path = f"{shown}/{entry.name}"
            # A link would lead elsewhere, and a device is how overlays say that something is gone.
            if entry.name not in allowed or not entry.is_dir(follow_symlinks=False):
                raise LayerRefused(
                    f"a layer has {path!r}, and may have files below /home/vcap only: stage the app anew"
                )
            if below := allowed[entry.name]:
                _check(tree / entry.name, below, path)
