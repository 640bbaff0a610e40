"""What the platform allows at all and gives to every app."""

from paasd.model.records.resource import Resource
from paasd.state import Record


class FeatureFlag(Record, table="feature_flags", key=("name",), label="Feature flag"):
    """A switch that an administrator has set; those without a row have their defaults."""

    name: str
    updated_at: str = ""
    enabled: bool
    custom_error_message: str | None = None


class VariableGroup(
    Record, table="variable_groups", key=("name",), label="Environment variable group", secret=("variables",)
):
    """Variables that every app has, `running` or `staging`; `variables` are sealed, "" when there are none."""

    name: str
    updated_at: str = ""
    variables: str = ""


class Buildpack(Resource, table="buildpacks"):
    """One that all apps may be staged with, asked in the order of positions. `stack` "" is any.

    Those that are `builtin` have no bits; the others have once `blob_sha256`, a zip, was uploaded.
    """

    name: str
    stack: str = ""
    position: int
    enabled: bool = True
    locked: bool = False
    builtin: bool = False
    filename: str | None = None
    blob_sha256: str | None = None

    @property
    def ready(self) -> bool:
        """Whether there is something to run."""
        return self.builtin or self.blob_sha256 is not None
