"""The platform's records and the operations and queries over them, one file per resource.

Operations are plain functions over a transaction, pure over the database, safe to run again. No SQL text, no clock,
no network: authorisation is above (`actions`), storage below (`state`).
Records: `from paasd.model import App`; operations: `from paasd.model import apps` then `apps.create_app`.
"""

from paasd.model.records import *  # noqa: F403
from paasd.model.records import __all__ as __all__
