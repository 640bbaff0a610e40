"""Stages the builds of this node: buildpacks run in the sandbox as the tenant, what comes out becomes read-only layers.

`stager` keeps one task per Build row, `staging` carries one build through its steps in a `chamber` (its container),
`inputs` reads the rows and makes
the keys under which earlier work is found again, `outcome` judges what the container hands over, `toolchains` and
`sources` are what a build is given: tools from the catalogue, and the few hosts it may reach. `uploads` makes layers of
droplets that come as archives, `downloads` archives of those that go.
"""

from paasd.stager.downloads import Downloads
from paasd.stager.stager import Stager, open_stager

__all__ = ["Downloads", "Stager", "open_stager"]
