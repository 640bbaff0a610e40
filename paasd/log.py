"""The daemon's own log: lines for a person on a terminal, JSON for everything else, secrets taken out of both.

What tenants write never passes through here; it belongs to `logs/`.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"

_SECRET_KEYS = re.compile(
    r"(?i)(password|passwd|passcode|secret|token|authorization|cookie|credential|private|api_?key|environment$|^env$)"
)
# Values that give themselves away wherever they stand: bearer tokens, JWTs, passwords in URLs, join tokens.
_SECRET_VALUES = re.compile(
    r"(?i)(?<=bearer )[^\s\"',]+|(?<=basic )[a-z0-9+/=]{8,}|eyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)|paasd1-[a-z]+-[\w-]+"
)


def redact(value: Any, depth: int = 0) -> Any:
    """`value` without secrets: by the name of a key, or by what a text looks like. Other types pass unchanged."""
    if depth > 6:
        return "..."
    if isinstance(value, str):
        return _SECRET_VALUES.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {
            key: REDACTED if isinstance(key, str) and _SECRET_KEYS.search(key) and item else redact(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, depth + 1) for item in value]
    return value


def redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: item if key == "exc_info" else redact({key: item})[key] for key, item in event.items()}


def traceback_of(error: BaseException) -> str:
    """The traceback as plain text. Log this, not `exc_info`: some renderers show local variables, secrets too."""
    return "".join(traceback.format_exception(error))


def configure_logging(*, stream: TextIO | None = None, level: str = "INFO", human: bool | None = None) -> None:
    """Send structlog and the standard library's loggers to `stream` (stderr). Called once, by the command line.

    `human` overrides the choice between lines and JSON, which is otherwise made by whether `stream` is a terminal.
    """
    target = sys.stderr if stream is None else stream
    for_people = target.isatty() if human is None else human
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if for_people else "iso", utc=not for_people),
        structlog.processors.StackInfoRenderer(),
    ]
    # Exceptions become text before redaction, so that a secret in a traceback's message is taken out as well.
    ending: list[Processor] = [structlog.processors.format_exc_info, redact_event]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
