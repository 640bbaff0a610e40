"""Source code in, a runnable droplet out: the Cloud Foundry lifecycle and the built-in buildpacks.

It runs inside the staging sandbox under the stack's own Python, so this folder imports the standard library and itself
only, by relative names. `lifecycle.py` is the order of things; `python/`, `nodejs/`,
`staticfile/` and `binary.py` stand behind the same interface as third-party buildpacks (`interface.py`, `external.py`);
`launch.py` is what turns a droplet into a running process; `catalogue.toml` lists the toolchains.
"""

from .catalogue import Catalogue, Toolchain, load_catalogue
from .launch import launch_argv, launch_environment, start_command

__all__ = ["Catalogue", "Toolchain", "launch_argv", "launch_environment", "load_catalogue", "start_command"]
