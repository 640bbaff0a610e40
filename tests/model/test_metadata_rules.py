"""Labels and annotations, as Cloud Foundry takes them, and how many."""

import pytest

from paasd.errors import Unprocessable
from paasd.model import (
    apps,
)
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.metadata import check_metadata
from tests.model.refusing import refused
from tests.model.seeding import Seed


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(labels={"": "x"}),
        Metadata(labels={"a" * 64: "x"}),
        Metadata(labels={"a b": "x"}),
        Metadata(labels={"nodots/a": "x"}),
        Metadata(labels={"a": "x" * 64}),
        Metadata(labels={"a": "_x"}),
        Metadata(annotations={"a": "x" * 5001}),
        Metadata(annotations={"cloudfoundry.org/a": "x"}),
    ],
)
def test_metadata_that_cloud_foundry_refuses_is_refused(metadata: Metadata) -> None:
    with pytest.raises(Unprocessable):
        check_metadata(metadata)


async def test_a_resource_has_so_much_metadata_and_what_has_more_may_shrink(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await seed.app()

    def labels(*numbers: int, value: str | None = "x") -> apps.UpdateApp:
        given = Metadata(labels={f"l{number}": value for number in numbers})
        return apps.UpdateApp(app_guid=app.guid, metadata=given, actor=SYSTEM)

    def annotations(*numbers: int, value: str = "x") -> apps.UpdateApp:
        given = Metadata(annotations={f"a{number:03}": value for number in numbers})
        return apps.UpdateApp(app_guid=app.guid, metadata=given, actor=SYSTEM)

    await seed.database.write(apps.update_app, labels(*range(50)))
    text = "Failed to add 2 labels because it would exceed maximum of 50"
    assert await refused(seed, apps.update_app, labels(0, 50)) == text
    await seed.database.write(apps.update_app, annotations(*range(200)))
    text = "Failed to add 1 annotations because it would exceed maximum of 200"
    assert await refused(seed, apps.update_app, annotations(200)) == text
    await seed.database.write(apps.update_app, annotations(*range(12), value="é" * 2500))
    too_much = annotations(12, 13, value="é" * 2500)
    assert "may have 65536 bytes together, not 71176" in await refused(seed, apps.update_app, too_much)
    monkeypatch.setattr("paasd.model.metadata.LABEL_LIMIT", 20)
    monkeypatch.setattr("paasd.model.metadata.SIZE_LIMIT_BYTES", 100)
    await seed.database.write(apps.update_app, labels(0, value=None))
    await seed.database.write(apps.update_app, labels(*range(1, 50), value="y"))
    assert "maximum of 20" in await refused(seed, apps.update_app, labels(0))


def test_metadata_that_cloud_foundry_takes_is_taken() -> None:
    check_metadata(Metadata(labels={"a": "", "example.org/b.c-d_e": "v1.0", "gone": None}, annotations={"a": "x y"}))
