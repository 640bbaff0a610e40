"""Blobs over nodes: every blob in min(2, live zones) zones before a row refers to it, found and repaired ever after.

`open_copies()` makes the local `Blobs` one of many: what is stored there is copied, what is missing there is fetched.
`places.py` decides who should have what (pure), `transfer.py` moves one blob, `copies.py` secures and fetches,
`repair.py` counts copies and has the missing ones made. Rows decide who belongs; gossip only who can be reached.
"""

from paasd.copies.copies import Copies
from paasd.copies.members import places_of
from paasd.copies.opening import open_copies
from paasd.copies.places import Place

__all__ = ["Copies", "Place", "open_copies", "places_of"]
