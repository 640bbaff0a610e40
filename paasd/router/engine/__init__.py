"""Envoy as a child that outlives its parent: its configuration, its process, its re-adoption.

`listeners` and `bootstrap` write its configuration, `binary` finds the program, `launch` is what runs in the child
before it, `process` is one running Envoy, `engine` keeps one running.
"""

from paasd.router.engine.engine import Engine, PortTaken, claim_port

__all__ = ["Engine", "PortTaken", "claim_port"]
