"""Where Envoy's files are."""

import os
import stat
from pathlib import Path

import pytest

from paasd.router.router import runtime_directory

pytestmark = pytest.mark.root


def test_envoy_can_enter_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        directory = runtime_directory(tmp_path, 61170)
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o711
        assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o711
        assert (directory / "envoy").stat().st_uid == 61170
    finally:
        (directory / "envoy").rmdir()
        directory.rmdir()
