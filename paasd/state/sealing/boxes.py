"""The sealed form: text that says by which key it was sealed, and opens under the same context only."""

import base64
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paasd.errors import PaasdError

KEY_BYTES: Final = 32
_FORMAT: Final = "p1"
_NONCE_BYTES: Final = 12


class SealingError(PaasdError):
    """A key is missing or unsafe, or a sealed value does not open."""


def seal(cipher: AESGCM, key_id: str, secret: bytes, context: str) -> str:
    nonce = os.urandom(_NONCE_BYTES)
    box = nonce + cipher.encrypt(nonce, secret, context.encode())
    return f"{_FORMAT}.{key_id}.{base64.urlsafe_b64encode(box).decode()}"


def split(sealed: str) -> tuple[str, bytes]:
    form, _, rest = sealed.partition(".")
    key_id, _, box = rest.partition(".")
    if form != _FORMAT or not key_id:
        raise SealingError("a sealed value has a form that this paasd does not know; upgrade this node")
    try:
        return key_id, base64.urlsafe_b64decode(box)
    except ValueError as error:  # also what is no ASCII
        raise SealingError("a sealed value is damaged") from error


def open_box(cipher: AESGCM, box: bytes, context: str) -> bytes:
    try:
        return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], context.encode())
    except (InvalidTag, ValueError) as error:
        raise SealingError(
            f"a sealed value does not open as {context}: it was changed, or sealed for another use"
        ) from error
