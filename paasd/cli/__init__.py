"""What a person types: `paasd serve` starts a node, the rest is a thin client of the HTTP API.

Nothing here knows more than a program elsewhere could: every command but `serve`, `stop` and `stack` is a few API calls
and a table. `client.py` finds the API and signs in, `render.py` prints.
"""

from paasd.cli.main import main

__all__ = ["main"]
