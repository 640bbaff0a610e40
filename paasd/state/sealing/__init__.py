"""Secrets at rest: AES-256-GCM under data keys, which stand in the database sealed by a root key that does not.

What is sealed is bound to a context, such as "apps/<guid>/environment", and opens with the same context only: a sealed
value copied into another row is refused. The root key is a file of the owner alone (0600) and never enters the log.
"""

from paasd.state.sealing.boxes import SealingError
from paasd.state.sealing.datakeys import DataKey
from paasd.state.sealing.rootkeys import RootKey, RootKeys, load_root_key, new_root_key, parse_root_key
from paasd.state.sealing.sealer import Keyless, Sealer, change_root_key, open_sealer, root_id_of, rotate_data_key

__all__ = [
    "DataKey",
    "Keyless",
    "RootKey",
    "RootKeys",
    "Sealer",
    "SealingError",
    "change_root_key",
    "load_root_key",
    "new_root_key",
    "open_sealer",
    "parse_root_key",
    "root_id_of",
    "rotate_data_key",
]
