"""Blobs over nodes: every blob in two zones (or on two nodes) before a row refers to it, found and repaired ever after.

`open_copies()` makes the local `Blobs` one of many: what is stored there is copied, what is missing there is fetched.
`places.py` decides who should have what (pure), `transfer.py` moves one blob, `copies.py` secures and fetches,
`repair.py` counts copies and has the missing ones made, `surplus.py` has those that are too many given up, by the
agreement of `sparing.py`, `scrub.py` finds damage. Rows decide who belongs; gossip only who can be reached.
"""

from paasd.copies.copies import Copies
from paasd.copies.findings import blob_findings, findings
from paasd.copies.members import places_of
from paasd.copies.opening import open_copies
from paasd.copies.places import Place
from paasd.copies.repair import Repair, kept_only_on
from paasd.copies.s3 import open_s3

__all__ = [
    "Copies",
    "Place",
    "Repair",
    "blob_findings",
    "findings",
    "kept_only_on",
    "open_copies",
    "open_s3",
    "places_of",
]
