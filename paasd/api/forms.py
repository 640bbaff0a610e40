"""Shapes that request bodies share."""

from typing import Annotated

import msgspec

from paasd.api.call import Form
from paasd.errors import Unprocessable
from paasd.model.arguments import Metadata

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
AppName = Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1, "maxLength": 255})]
"""Those of apps come in manifests, too: the model judges them, in words of its own."""


class Guid(Form):
    """`{"guid": "..."}`."""

    guid: str


def check_user(user: str | None) -> None:
    """Raise Unprocessable for whom nothing runs as."""
    if user not in (None, "vcap"):
        raise Unprocessable("User must be vcap")


class ToOne(Form):
    """A relationship to one resource."""

    data: Guid


class ToOneOrNone(Form):
    """A relationship that may be taken away."""

    data: Guid | None = None


class ToMany(Form):
    """A relationship to several."""

    data: list[Guid] = []


class MetadataForm(Form):
    """`metadata` of a body; null takes a key away, and instead of all keys says nothing of them."""

    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None

    def changes(self) -> Metadata:
        """As operations take it."""
        return Metadata(labels=self.labels or {}, annotations=self.annotations or {})


class MetadataChanges(Form):
    """Body of a `PATCH` by which nothing else changes; what more Cloud Foundry takes there is for its own stagers."""

    metadata: MetadataForm | None = None


class Enabled(Form):
    """Body of a feature."""

    enabled: bool


def metadata_of(form: MetadataForm | None) -> Metadata | None:
    """The metadata of a body, None when it has none."""
    return None if form is None else form.changes()
