"""How staging fails: Cloud Foundry's exit codes, and one sentence on what went wrong and what to do."""

DETECT_FAILED = 222
COMPILE_FAILED = 223
RELEASE_FAILED = 224
SUPPLY_FAILED = 225
# Ours: the package cannot be unpacked, or the request names something that is not there.
PACKAGE_REFUSED = 227


class StagingFailure(Exception):
    """A step cannot go on. `reason` says what is wrong in one line, `advice` what the developer can do about it."""

    def __init__(self, step: str, reason: str, advice: str = "", *, code: int = COMPILE_FAILED) -> None:
        super().__init__(reason)
        self.step = step
        self.reason = reason
        self.advice = advice
        self.code = code

    def __str__(self) -> str:
        return f"{self.step}: {self.reason}" + (f"; {self.advice}" if self.advice else "")


class ArchiveRefused(StagingFailure):
    """The uploaded archive holds something that will not be unpacked; the reason names the entry."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__("unpack", reason, advice, code=PACKAGE_REFUSED)


def legible(name: str, limit: int = 120) -> str:
    """A tenant's name for a one-line message: no control characters, bounded."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in name[: limit + 1])
    return f"'{shown}'" if len(shown) <= limit else f"'{shown[:limit]}...'"
