"""What a sign-in comes to, by whichever way."""

import msgspec

from paasd.model import User


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """Who has proved who they are, when (unix seconds), and whether with a second factor."""

    user: User
    at: int
    with_factor: bool = False
