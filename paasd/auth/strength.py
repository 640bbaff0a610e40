"""What a password has to be: long, and not among those that are tried first. Pure.

Length is what counts against guessing behind a slow hash; there are no rules about digits and signs, which make people
choose worse ones.
"""

import re
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 255
# What lists of stolen passwords are made of, without the digits and signs that people put around it.
WORDS: Final = """
password passwort passphrase passwd pass secret geheim letmein welcome willkommen admin administrator root login
master hello iloveyou monkey dragon football baseball princess sunshine shadow superman batman michael jordan
charlie ashley bailey starwars whatever trustno freedom qwerty qwertz azerty asdf asdfgh asdfghjkl zxcvbn yxcvbn
qwertyuiop qwertzuiop zxcvbnm abc abcd abcdef abcdefgh abcdefghijkl changeme changeit default guest test testing
user username access computer internet google facebook summer winter spring autumn london berlin paris england
liverpool arsenal chelsea government cloudfoundry paasd mypassword thisismypassword passwordpassword adminadmin
rootroot secretsecret correcthorsebatterystaple
"""
COMMON: Final = frozenset(WORDS.split())
SEQUENCES: Final = ("01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "qwertzuiop")
_ENDS: Final = re.compile(r"^[\W\d_]+|[\W\d_]+$")
LEET: Final = str.maketrans("0134578@$!", "oieastbasi")


def why_weak(password: str, username: str) -> str | None:
    """What is wrong with a new password, as a sentence; None when nothing is."""
    if len(password) < SHORTEST:
        return f"A password has at least {SHORTEST} characters; a few words that have nothing to do with each other do."
    if len(password) > LONGEST:
        return f"A password has at most {LONGEST} characters."
    lower = password.lower()
    if len(set(lower)) < 5:
        return "The password repeats a few characters; choose one that has more of them."
    if _is_run(lower):
        return "The password is a row of keys or letters; choose one that is not."
    name = username.lower().partition("@")[0]
    if len(name) >= 4 and len(lower.replace(name, "")) < SHORTEST - 4:
        return "The password is little more than the user name; choose one without it."
    bare = _ENDS.sub("", lower)
    if not COMMON.isdisjoint((_core(lower), _core(bare.translate(LEET)), _core(lower.translate(LEET)))):
        return "The password is one of those that are tried first; choose a few words that do not belong together."
    return None


def _core(text: str) -> str:
    """Letters alone, a word that is only repeated taken once: `Password-2026!` is `password`."""
    letters = "".join(char for char in text if char.isalpha())
    for length in range(1, len(letters) // 2 + 1):
        if len(letters) % length == 0 and letters == letters[:length] * (len(letters) // length):
            return letters[:length]
    return letters


def _is_run(text: str) -> bool:
    """Whether nearly every character follows or precedes the one before in a row that everybody knows."""
    runs = sum(
        any(pair in row or pair[::-1] in row for row in SEQUENCES)
        for pair in (text[at : at + 2] for at in range(len(text) - 1))
    )
    return runs >= len(text) - 3
