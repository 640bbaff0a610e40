"""Sign-in from the command line, and examples/ci/deploy.sh as a pipeline runs it: programs against a real API."""

import os
import re
from pathlib import Path

import trio

from tests.api.hands import working_hands
from tests.api.serving import PASSWORD, Served
from tests.api.sign_in import Authenticator, events, make_member, make_place, sign_in, signed_in
from tests.cli.typing_hands import paasd

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "examples" / "ci" / "deploy.sh"


async def deploy(served: Served, token: str, app: str = "web") -> tuple[int, str]:
    """Exit status and output of the example."""
    environment = {
        "PATH": os.environ["PATH"],
        "PAASD_API": served.doors.url,
        "PAASD_DEPLOY_TOKEN": token,
        "PAASD_SPACE": "acme/prod",
    }
    with trio.fail_after(60):
        done = await trio.run_process(
            [DEPLOY, app, ROOT / "examples" / "flask-app"],
            env=environment,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    return done.returncode, done.stdout.decode() + done.stderr.decode()


async def test_a_pipeline_deploys_with_a_token_made_on_the_command_line_until_it_is_revoked(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "dev", place, "space_developer")
    me = {"PAASD_API": served.doors.url, "PAASD_USER": "dev", "PAASD_PASSWORD": PASSWORD, "PAASD_SPACE": "acme/prod"}
    made = await paasd("deploy-token", "create", "ci", "--life", "30d", **me)
    assert made.code == 0, made
    token = made.out.strip()
    async with working_hands(served.context) as hands:
        code, said = await deploy(served, token)
        assert (code, said.splitlines()[-1].startswith("OK web: 1 of 1")) == (0, True), said
        hands.build_error = "NoAppDetectedError"
        code, said = await deploy(served, token)
        assert (code, "FAILED at build" in said) == (1, True), said
    listed = await paasd("deploy-token", "list", **me)
    assert re.search(r"^ci +space_developer +dev +\S+ +\d{4}-\d\d-\d\d +counts$", listed.out, re.MULTILINE), listed
    pipeline = {"PAASD_API": served.doors.url, "PAASD_SPACE": "acme/prod"}
    with_token = await paasd("apps", **pipeline, PAASD_DEPLOY_TOKEN=token)
    assert (with_token.code, "web" in with_token.out) == (0, True), with_token
    assert (await paasd("deploy-token", "revoke", "ci", **me)).code == 0
    code, said = await deploy(served, token)
    assert (code, "The deploy token is not known" in said) == (1, True), said
    refused = await paasd("apps", **pipeline, PAASD_DEPLOY_TOKEN=token)
    assert (refused.code, "was refused" in refused.err) == (1, True)
    [event] = await events(served, "audit.app.create")
    assert event["actor"]["type"] == "deploy_token"


async def test_a_user_signs_out_everywhere_and_an_administrator_somebody_else(served: Served) -> None:
    for name in ("ada", "bob"):
        await served.make_user(name)
    me = {"PAASD_API": served.doors.url, "PAASD_USER": "ada", "PAASD_PASSWORD": PASSWORD}
    for words, environment, whose in (
        (["sign-out"], me, "ada"),
        (["sign-out", "bob"], {**me, "PAASD_USER": "admin"}, "bob"),
    ):
        sessions = {name: (await served.login(name))["access_token"] for name in ("ada", "bob")}
        done = await paasd(*words, **environment)
        assert done.out == f"Done: every session of {whose} has ended.\n", done
        for name, token in sessions.items():
            async with served.client(token) as http:
                status = (await http.get("/v3/organizations")).status_code
            assert status == (401 if name == whose else 200), name
    refused = await paasd("sign-out", "bob", **me)
    assert (refused.code, "Insufficient scope" in refused.err) == (1, True), refused


async def test_a_second_factor_is_used_and_demanded_on_the_command_line(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "ada", place, "organization_manager")
    me = {"PAASD_API": served.doors.url, "PAASD_USER": "ada", "PAASD_PASSWORD": PASSWORD, "PAASD_SPACE": "acme/prod"}
    early = await paasd("second-factor", "demand", "acme", "on", **me)
    assert (early.code, "`paasd second-factor enrol`" in early.err) == (1, True)
    async with await signed_in(served, "ada") as http:
        secret = (await http.post("/paasd/v1/me/second-factor")).json()["secret"]
        authenticator = Authenticator(served, secret)
        code = {"code": authenticator.code()}
        assert (await http.post("/paasd/v1/me/second-factor/actions/confirm", json=code)).status_code == 200
    nobody = await paasd("second-factor", "reset", "nobody", **me, PAASD_CODE=authenticator.code())
    assert (nobody.code, "not authorized" in nobody.err) == (1, True)
    without = await paasd("second-factor", "show", **me)
    assert (without.code, "second factor is needed" in without.err) == (1, True)
    shown = await paasd("second-factor", "show", **me, PAASD_CODE=authenticator.code())
    assert re.search(r"used for this sign-in: +yes", shown.out), shown
    demanded = await paasd("second-factor", "demand", "acme", "on", **me, PAASD_CODE=authenticator.code())
    assert demanded.out == "acme demands a second factor.\n", demanded
    by_passcode = {**me, "PAASD_PASSCODE": "wrong-code"}
    assert "Invalid passcode" in (await paasd("second-factor", "show", **by_passcode)).err
    token = (await sign_in(served, "ada", mfaCode=authenticator.code())).json()["access_token"]
    async with served.client(token) as http:
        by_passcode["PAASD_PASSCODE"] = (await http.get("/passcode")).json()["passcode"]
    assert re.search(r"used for this sign-in: +yes", (await paasd("second-factor", "show", **by_passcode)).out)
