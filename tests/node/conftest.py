from collections.abc import Iterator

import pytest

from tests.node.site import Site, open_site


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One daemon and one canary for the tests of a file."""
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Iterator[Site]:
    """The daemon of the file; the test fails when its canary suffers or anything is left on the host."""
    with shared_site.unharmed():
        yield shared_site
