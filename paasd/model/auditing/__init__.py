"""Audit events that nobody changes unnoticed: each holds a hash over itself and over the one before it.

`chain.py` links them, `trimming.py` lets old ones go, `following.py` (pure) and `checking.py` find what does not fit,
`lines.py` is the form in which they leave the platform, `differences.py` says what an update changed without secrets,
and `bounding.py` cuts what would make an event long.
"""

from paasd.model.auditing.bounding import bounded
from paasd.model.auditing.chain import PLATFORM, append
from paasd.model.auditing.differences import HIDDEN, difference, snapshot, without_password

__all__ = ["HIDDEN", "PLATFORM", "append", "bounded", "difference", "snapshot", "without_password"]
