"""Names that people read in terminals, mails and lists: of organizations, spaces and apps."""

from typing import Final

from paasd.errors import Unprocessable

NAME_LIMIT: Final = 255


def check_name(name: str) -> None:
    """Raise Unprocessable for what is no name: line breaks and marks of direction make a list say something else."""
    if not name.strip():
        raise Unprocessable("Name must not be blank")
    if len(name) > NAME_LIMIT:
        raise Unprocessable(f"Name is too long (maximum is {NAME_LIMIT} characters)")
    if not name.isprintable():
        raise Unprocessable("Name must contain printable characters only")
