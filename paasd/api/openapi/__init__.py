"""The description of the API in OpenAPI 3.1, made from what the API itself is made from: the route table, the structs
that bodies are read into, and those that answers are written from. `paths.py` says each call, `bodies.py` its form.
"""

from paasd.api.openapi.paths import Description, describe

__all__ = ["Description", "describe"]
