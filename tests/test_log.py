import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from paasd.log import configure_logging, redact, traceback_of


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json_lines_carry_the_event_and_its_fields_and_no_secret(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    structlog.get_logger().info("signed in", user="ada", password="hunter2", url="postgres://u:pw@db/x")
    line = json.loads(stream.getvalue())
    assert line["event"] == "signed in"
    assert line["user"] == "ada"
    assert "hunter2" not in stream.getvalue()
    assert line["url"] == "postgres://[redacted]@db/x"


def test_the_standard_librarys_loggers_and_tracebacks_are_redacted_too(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    try:
        raise ValueError("header was: bearer abc.def.ghi")
    except ValueError:
        logging.getLogger("hypercorn").exception("request failed")
    line = json.loads(stream.getvalue())
    assert line["event"] == "request failed"
    assert "ValueError" in line["exception"]
    assert "abc.def" not in stream.getvalue()


def test_people_get_lines_and_the_level_is_respected(stream: io.StringIO) -> None:
    configure_logging(stream=stream, human=True, level="WARNING")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", disk="full")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
    assert "disk=full" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_tracebacks_for_people_show_no_local_variables(stream: io.StringIO) -> None:
    configure_logging(stream=stream, human=True)
    hidden = "local" + "-secret"
    try:
        raise ValueError(len(hidden))
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=True)
        structlog.get_logger().error("failed", traceback=traceback_of(error))
    assert stream.getvalue().count("ValueError: 12") == 2
    assert hidden not in stream.getvalue()


def test_redaction_reaches_nested_values_and_leaves_the_rest_alone() -> None:
    value = {"a": [{"client_secret": "x", "name": "n"}], "count": 3, "token": None}
    assert redact(value) == {"a": [{"client_secret": "[redacted]", "name": "n"}], "count": 3, "token": None}
    assert redact("eyJhbGciOi.eyJzdWIi.c2ln") == "[redacted]"
    assert redact("paasd1-worker-ab12-deadbeef") == "[redacted]"
