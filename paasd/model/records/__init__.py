"""What the platform knows, as frozen records: one class per table of `paasd/state/migrations`.

Cloud Foundry's vocabulary. Records hold no behaviour beyond naming themselves; operations and queries stand in the
files of `paasd/model`, one per resource. Fields of list, dict and struct type are stored as JSON text.
"""

from paasd.model.records.apps import App, HealthCheck, Process, Sidecar
from paasd.model.records.cluster import Authority, GossipKey, JoinToken, Lease
from paasd.model.records.invitations import Invitation
from paasd.model.records.metadata import Annotation, Label
from paasd.model.records.network import NetworkPolicy, SecurityGroup, SecurityGroupSpace
from paasd.model.records.placement import Instance, Node, PlacementFailure
from paasd.model.records.platform import AuditChain, AuditEvent, Job, JobError, Setting, SigningKey
from paasd.model.records.policy import Buildpack, FeatureFlag, VariableGroup
from paasd.model.records.quotas import AppUsageEvent, Limits, OrganizationQuota, SpaceQuota
from paasd.model.records.revisions import Revision, SidecarSnapshot
from paasd.model.records.routing import Destination, Domain, Route
from paasd.model.records.sign_in import DeployToken, ExternalIdentity, FactorDemand, Passcode, SecondFactor
from paasd.model.records.ssh import SshCode, SshHostKey, SshSwitch
from paasd.model.records.staging import (
    Build,
    Droplet,
    DropletBuildpack,
    DropletLayer,
    DropletSidecar,
    DropletUpload,
    Layer,
    Package,
    Timing,
)
from paasd.model.records.tasks import Task
from paasd.model.records.tenancy import Organization, Role, Space, User

__all__ = [
    "Annotation",
    "App",
    "AppUsageEvent",
    "AuditChain",
    "AuditEvent",
    "Authority",
    "Build",
    "Buildpack",
    "DeployToken",
    "Destination",
    "Domain",
    "Droplet",
    "DropletBuildpack",
    "DropletLayer",
    "DropletSidecar",
    "DropletUpload",
    "ExternalIdentity",
    "FactorDemand",
    "FeatureFlag",
    "GossipKey",
    "HealthCheck",
    "Instance",
    "Invitation",
    "Job",
    "JobError",
    "JoinToken",
    "Label",
    "Layer",
    "Lease",
    "Limits",
    "NetworkPolicy",
    "Node",
    "Organization",
    "OrganizationQuota",
    "Package",
    "Passcode",
    "PlacementFailure",
    "Process",
    "Revision",
    "Role",
    "Route",
    "SecondFactor",
    "SecurityGroup",
    "SecurityGroupSpace",
    "Setting",
    "Sidecar",
    "SidecarSnapshot",
    "SigningKey",
    "Space",
    "SpaceQuota",
    "SshCode",
    "SshHostKey",
    "SshSwitch",
    "Task",
    "Timing",
    "User",
    "VariableGroup",
]
