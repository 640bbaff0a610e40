"""What the platform allows at all and gives to every app."""

from paasd.state import Record


class FeatureFlag(Record, table="feature_flags", key=("name",), label="Feature flag"):
    """A switch that an administrator has set; those without a row have their defaults."""

    name: str
    updated_at: str = ""
    enabled: bool
    custom_error_message: str | None = None


class VariableGroup(Record, table="variable_groups", key=("name",), label="Environment variable group"):
    """Variables that every app has, `running` or `staging`; `variables` are sealed, "" when there are none."""

    name: str
    updated_at: str = ""
    variables: str = ""
