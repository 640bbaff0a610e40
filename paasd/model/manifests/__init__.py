"""App manifests with Cloud Foundry's semantics: what is mentioned is merged in, what is not stays as it is.

`parse_manifest` checks a text, `plan_app` compares it with what is there (both pure), `apply_manifest` is the one
operation that makes all changes or none; `generate` writes the manifest of an app, `diff` says what applying would do.
"""

from paasd.model.manifests.applying import ApplyManifest, AppToApply, apply_manifest
from paasd.model.manifests.document import AppManifest, Manifest, ManifestError
from paasd.model.manifests.generating import diff, dump, generate
from paasd.model.manifests.parsing import parse_manifest
from paasd.model.manifests.planning import Changes, State, plan_app

__all__ = [
    "AppManifest",
    "AppToApply",
    "ApplyManifest",
    "Changes",
    "Manifest",
    "ManifestError",
    "State",
    "apply_manifest",
    "diff",
    "dump",
    "generate",
    "parse_manifest",
    "plan_app",
]
