"""The built-in buildpacks, in the order in which they are asked, and by which names they are known."""

from .binary import Binary
from .interface import Buildpack
from .nodejs import NodeJs
from .python import Python
from .staticfile import Staticfile

ORDER: tuple[Buildpack, ...] = (Staticfile(), NodeJs(), Python(), Binary())

_BY_NAME = {pack.name: pack for pack in ORDER}


def resolve(name: str) -> Buildpack | None:
    """`python`, `python_buildpack` or `python-buildpack`, and the address of the original of that name."""
    plain = name.partition("#")[0].rstrip("/").removesuffix(".git").lower()
    for prefix in (
        "https://github.com/cloudfoundry/",
        "http://github.com/cloudfoundry/",
        "git://github.com/cloudfoundry/",
    ):
        plain = plain.removeprefix(prefix)
    for suffix in ("_buildpack", "-buildpack"):
        plain = plain.removesuffix(suffix)
    return _BY_NAME.get(plain)
