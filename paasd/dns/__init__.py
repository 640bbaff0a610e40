"""The resolver that instances see as 169.254.1.1.

Names below apps.internal are answered here, public names at the configured upstreams, everything private not at all.
`open_resolver` gives a `Resolver`; the network redirects port 53 of the link address to its port, which should stay
the same from one daemon to the next: what is asked during a restart is then answered by the new one.
"""

from paasd.dns.policy import Lookup, NotYet
from paasd.dns.server import Learn, Resolver, open_resolver

__all__ = ["Learn", "Lookup", "NotYet", "Resolver", "open_resolver"]
