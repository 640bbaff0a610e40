"""An S3-compatible store beside the nodes: every referenced blob is put there too, and fetched from there at last.

`signing.py` signs (pure), `client.py` has the few requests, `store.py` puts, fetches, tidies. No push waits for it.
"""

from paasd.copies.s3.store import S3Store, open_s3

__all__ = ["S3Store", "open_s3"]
