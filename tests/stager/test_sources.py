"""What builds are told of this host's own settings."""

from pathlib import Path

import pytest

from paasd.config import StagingConfig
from paasd.stager.sources import read_sources

WITHOUT_PASSWORD = {"HTTPS_PROXY": "http://proxy.example:3128", "no_proxy": ".example"}


def test_a_proxy_is_given_to_builds_with_the_way_to_it(tmp_path: Path) -> None:
    sources = read_sources(StagingConfig(), {"HOME": str(tmp_path), **WITHOUT_PASSWORD})
    assert sources.environment["https_proxy"] == "http://proxy.example:3128"
    assert sources.environment["no_proxy"] == ".example"
    assert ("proxy.example", 3128) in sources.hosts
    alone = read_sources(StagingConfig(inherit_host_settings=False), WITHOUT_PASSWORD)
    assert "https_proxy" not in alone.environment


@pytest.mark.parametrize("url", ["http://ann:hunter2@proxy.example:3128", "ann:hunter2@proxy.example:3128"])
def test_no_password_of_a_proxy_is_given_to_builds(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = read_sources(StagingConfig(), {"HOME": str(tmp_path), "http_proxy": url, "HTTPS_PROXY": url})
    assert "hunter2" not in repr(sources)
    assert not {"http_proxy", "https_proxy"} & sources.environment.keys()
    said = "".join(capsys.readouterr())
    assert "a proxy with a password is not given to builds" in said and "hunter2" not in said
