"""A nest: containers made of plain processes of the current user, for nodes that are embedded in somebody's tests.

It has the verbs of the sandbox and none of its walls: programs see the host's files, processes and network, and no
limit holds them. It needs no root, leaves nothing behind, and ends all that it started, also when its owner is killed.
`keeper` talks to the process that holds the others, `layers` unpacks images, `ports` tells instances apart.
"""

from paasd.sandbox.nest.container import PlainContainer
from paasd.sandbox.nest.layers import Layers
from paasd.sandbox.nest.nest import Nest, open_nest
from paasd.sandbox.nest.ports import Ports

__all__ = ["Layers", "Nest", "PlainContainer", "Ports", "open_nest"]
