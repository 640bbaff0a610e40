"""What package managers print when something cannot be had, reduced to one sentence that names the dependency."""

import pytest

from paasd.buildpacks.nodejs.failures import explain as of_node
from paasd.buildpacks.python.failures import explain as of_python

GIT = "fatal: unable to access 'https://git.example/left.git/': Could not resolve host: git.example"
SPECIFICATIONS = {"ms": "2.1.3", "left": "git+https://git.example/left.git#v1", "right": "someone/right"}
LEFT = "the dependency 'left' (https://git.example/left.git) cannot be fetched with Git: Could not resolve host"

NODE = [
    (["npm error code 128", "npm error An unknown git error occurred",
      "npm error command git --no-replace-objects ls-remote https://git.example/left.git", f"npm error {GIT}"], LEFT),
    (["error Command failed.", "Exit code: 128", "Command: git",
      "Arguments: ls-remote --tags --heads https://git.example/left.git", "Output:", GIT], LEFT),
    (["\u27a4 YN0001: \u2502 left@https://git.example/left.git: Failed listing refs",
      "\u27a4 YN0001: \u2502   Repository URL: https://git.example/left.git",
      f"\u27a4 YN0001: \u2502   Fatal Error: {GIT.removeprefix('fatal: ')}",
      "\u27a4 YN0000: \u00b7 Failed with errors in 0s 149ms"], LEFT),
    (["pnpm: Command failed with exit code 128: git ls-remote https://git.example/left.git HEAD HEAD^{}", GIT,
      "    at makeError (/opt/pnpm.cjs:14871:17)"], LEFT),
    (["npm error command git --no-replace-objects ls-remote ssh://git@github.com/someone/right.git",
      "npm error ssh: Could not resolve hostname github.com: Temporary failure in name resolution",
      "npm error fatal: Could not read from remote repository.", "npm error", "npm error and the repository exists."],
     "the dependency 'right' (ssh://git@github.com/someone/right.git) cannot be fetched with Git: ssh: Could not"),
    (["npm error code EAI_AGAIN",
      "npm error request to https://files.example/x.tgz failed, reason: getaddrinfo EAI_AGAIN files.example"],
     "a dependency (https://files.example/x.tgz) cannot be downloaded: its host's name is not known here"),
    (["npm error code 1", "npm error path /home/vcap/app/node_modules/@own/thing", "npm error command failed",
      "npm error command sh -c node fetch.js", "npm error Error: getaddrinfo EAI_AGAIN downloads.example",
      "npm error     at GetAddrInfoReqWrap.onlookupall (node:dns:122:26) {", "npm error   errno: -3001,",
      "npm error }"],
     "the install script of '@own/thing' failed: Error: getaddrinfo EAI_AGAIN downloads.example"),
    (["npm error code E404", "npm error 404  'no-such@1.0.0' is not in this registry."],
     "there is no package 'no-such@1.0.0' in the registry"),
]  # fmt: skip
PYTHON = [
    (["error: Failed to download and build `left @ git+https://git.example/left.git@v1`",
      "  cause: Git operation failed", f"  {GIT}"],
     "the dependency 'left' (https://git.example/left.git@v1) cannot be fetched with Git: Could not resolve host"),
    (["Updating https://git.example/left.git (HEAD)", "error: Git operation failed",
      "cause: process didn't exit successfully: `/usr/bin/git fetch --force 'https://git.example/left.git'`", GIT],
     "a dependency (https://git.example/left.git) cannot be fetched with Git"),
    (["error: Failed to download and build `left @ https://files.example/left-1.tar.gz`",
      "  cause: Failed to fetch: https://files.example/left-1.tar.gz",
      "  cause: failed to lookup address information: Temporary failure in name resolution"],
     "the dependency 'left' (https://files.example/left-1.tar.gz) cannot be downloaded: its host's name is not known"),
    (["error: Failed to build `uwsgi==2.0.1`", "  cause: gcc: not found"], "the package 'uwsgi==2.0.1' has no wheel"),
]  # fmt: skip


@pytest.mark.parametrize(("tail", "expected"), NODE)
def test_a_node_dependency_that_cannot_be_had_is_named_with_the_cause(tail: list[str], expected: str) -> None:
    reason, advice = of_node(tail, SPECIFICATIONS)
    assert reason.startswith(expected)
    assert advice


@pytest.mark.parametrize(("tail", "expected"), PYTHON)
def test_a_python_dependency_that_cannot_be_had_is_named_with_the_cause(tail: list[str], expected: str) -> None:
    reason, advice = of_python(tail)
    assert reason.startswith(expected)
    assert advice
