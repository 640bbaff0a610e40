"""The Node.js buildpack: npm, yarn or pnpm by lock file, a build with devDependencies, then only what production needs.

`manifest.py` reads package.json and the lock files and keys the layers, `install.py` runs the package manager,
`failures.py` turns its last lines into one sentence. node_modules stays at its place and is a layer of its own.
"""

from ..failure import StagingFailure
from ..interface import Plan, Project, Step
from . import build, install, manifest, profile

__all__ = ["NodeJs"]


class NodeJs:
    """Detects package.json."""

    name = "nodejs"

    def detect(self, project: Project) -> str | None:
        return "nodejs" if project.has("package.json") else None

    def plan(self, project: Project) -> Plan:
        package = manifest.read(project)
        node = manifest.choose_node(project, package)
        manager = manifest.choose_manager(project, package)
        chain = (node,) if manager.toolchain is None else (node, manager.toolchain)
        layers = manifest.layers(project, package, manager, node.version)
        facts = {"node": project.root_of(node), "manager": manager.kind, "major": manager.major}
        facts["manager_root"] = project.root_of(manager.toolchain) if manager.toolchain is not None else ""
        return Plan(chain, chain, layers, node.version, manager.lock is None, facts)

    def supply(self, step: Step) -> None:
        step.title(f"Node.js {step.plan.version}, {step.plan.facts['manager']}")
        if not step.project.has("package.json"):
            raise StagingFailure(
                "nodejs", "there is no package.json at the app's root", "push the directory that holds it"
            )
        install.programs(step)
        package = manifest.read(step.project)
        build.run_script(step, package, "heroku-prebuild")
        install.dependencies(step, package)
        profile.write(step, package)
        # Here and not in finalize, so that a static site can be built by this buildpack and served by another.
        build.run(step, package)

    def finalize(self, step: Step) -> None:
        """All is done in supply."""
