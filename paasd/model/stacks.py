"""Stacks: what comes with the platform. Only labels and annotations of them are rows."""

from typing import Final

STACKS: Final = {
    "cflinuxfs4": "The stack debian12 under the name that Cloud Foundry's manifests use",
    "debian12": "Debian 12, built for this platform; for production",
    "host": "The programs of the host itself; for development and tests",
}
"""By name, which is the guid, too."""


def labelled_as(name: str) -> str:
    """Of what labels of a stack are: no guid, for a user may have the name of a stack as one."""
    return f"stack/{name}"
