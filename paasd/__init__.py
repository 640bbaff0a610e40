"""paasd: a platform as a service in one daemon per node.

Start reading at `node.py`, the composition root: it opens every part in the order in which they need each other.
The folders are described in ARCHITECTURE.md; imports go down only, which `lint-imports` checks.
"""

__version__ = "0.1.0"
