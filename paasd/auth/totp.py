"""Time-based codes (RFC 6238: SHA-1, six digits, 30 s) and recovery codes. Pure; the caller gives the time.

Codes are pyotp's. Which step a code is of is found here, because a step may count once only.
"""

import hashlib
import re
import secrets
from typing import Final

import pyotp

STEP_S: Final = 30
TOLERANCE: Final = (0, -1, 1)
"""Steps around the present one that count, for clocks that differ; the likeliest first."""
RECOVERY_CODES: Final = 10
ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what is taken for something else when it is copied by hand."""


def new_secret() -> str:
    """160 random bits as authenticators take them."""
    return pyotp.random_base32()


def enrolment_uri(secret: str, username: str, platform: str) -> str:
    """What the QR code for an authenticator says."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=platform)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The step of which `code` is; None when it is of none that counts at `now` (unix seconds)."""
    if not re.fullmatch(r"[0-9]{6}", code, re.ASCII):
        return None
    totp = pyotp.TOTP(secret)
    for offset in TOLERANCE:
        step = int(now) // STEP_S + offset
        if secrets.compare_digest(totp.at(step * STEP_S), code):
            return step
    return None


def new_code(groups: int) -> str:
    """Random letters and digits in groups of four, such as `k7mq-2fxd-9hpa`; 20 bits a group."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(groups))


def hash_code(code: str) -> str:
    """What is kept of a code that we made: however it was typed. Enough for codes of 60 random bits."""
    plain = re.sub(r"[^a-z0-9]", "", code.lower())
    return hashlib.sha256(plain.encode()).hexdigest()


def new_recovery_codes() -> list[str]:
    """Codes for the day on which the authenticator is lost; each counts once."""
    return [new_code(3) for _ in range(RECOVERY_CODES)]
