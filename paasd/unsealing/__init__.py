"""Secrets of what runs on a node, opened for that node alone.

A control node has the keys: `LocalUnsealing` opens what rows hold. A worker has none and asks a control node
(`RemoteUnsealing`), which answers only about instances and builds that rows give to the node that asks (`serve`).
What is opened is kept in memory only.
"""

from paasd.unsealing.interface import Opener, Unsealed, Unsealing
from paasd.unsealing.local import LocalUnsealing
from paasd.unsealing.remote import RemoteUnsealing, controls_of, serve

__all__ = ["LocalUnsealing", "Opener", "RemoteUnsealing", "Unsealed", "Unsealing", "controls_of", "serve"]
