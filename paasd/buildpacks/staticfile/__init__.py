"""The static site buildpack: the app's files behind nginx, with every documented option of a Staticfile.

`options.py` reads the Staticfile, `nginx.py` writes the configuration and the start script from it.
"""

import shutil

from ..failure import StagingFailure
from ..interface import Plan, Project, Step
from . import nginx, options

__all__ = ["Staticfile"]

_KEPT_NAMES = ("Staticfile", "Staticfile.auth", "manifest.yml", ".profile", ".profile.d", "stackato.yml", "Procfile")


class Staticfile:
    """Detects a Staticfile."""

    name = "staticfile"

    def detect(self, project: Project) -> str | None:
        return "staticfile" if project.has("Staticfile") else None

    def plan(self, project: Project) -> Plan:
        tool = project.catalogue.pick("nginx", None, style="npm")
        if tool is None:
            raise StagingFailure("staticfile", "this node's catalogue has no nginx", "ask the operator to add it")
        return Plan((tool,), (tool,), version=tool.version, facts={"nginx": f"{project.root_of(tool)}/bin/nginx"})

    def supply(self, step: Step) -> None:
        (step.deps_dir / "bin").mkdir(parents=True, exist_ok=True)
        link = step.deps_dir / "bin" / "nginx"
        link.unlink(missing_ok=True)
        link.symlink_to(step.plan.facts["nginx"])
        step.title(f"nginx {step.plan.version}")

    def finalize(self, step: Step) -> None:
        chosen = options.with_built_root(options.read(step.project), step.app)
        for line in options.notes(chosen):
            step.log(line)
        _publish(step, chosen)
        nginx.write(step, chosen)
        nginx.check(step)
        (step.deps_dir / "config.yml").write_text(f'name: staticfile\nversion: "{step.plan.version}"\nconfig: {{}}\n')


def _publish(step: Step, chosen: options.Options) -> None:
    """Move what the site serves into public/, as Cloud Foundry does; with `root`, that directory becomes public/."""
    public = step.app / "public"
    if chosen.root and (step.app / chosen.root).resolve() == public.resolve():
        return
    staged = step.project.layout.temporary / "public"
    shutil.rmtree(staged, ignore_errors=True)
    if chosen.root:
        (step.app / chosen.root).rename(staged)
        shutil.rmtree(public, ignore_errors=True)
    else:
        staged.mkdir(parents=True)
        for entry in list(step.app.iterdir()):
            if entry.name in _KEPT_NAMES or (entry.name.startswith(".") and not chosen.host_dot_files):
                continue
            entry.rename(staged / entry.name)
    staged.rename(public)
