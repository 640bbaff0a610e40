"""Content-addressed files of one node: packages, layers, droplets. Streamed in, synced, then named by their SHA-256.

`open_blobs()` gives `Blobs`: `writer` streams one in under a limit, `adopt_fd` copies a file that staging made, `path`
is for reading and mounting, `ensure` the same for what may be elsewhere, `verify` finds damage, `collect` deletes what
nothing has referred to for a day. It knows neither rows nor nodes: who calls `collect` says what is referenced, and
`elsewhere` is handed in (`paasd.copies`).
"""

from paasd.blobs.store import Blob, BlobDamaged, Blobs, DiskFull, Elsewhere, open_blobs, sync_folder
from paasd.blobs.writer import BlobWriter

__all__ = ["Blob", "BlobDamaged", "BlobWriter", "Blobs", "DiskFull", "Elsewhere", "open_blobs", "sync_folder"]
