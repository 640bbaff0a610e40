"""What may be the type of a process, where it does not come from a manifest."""

import msgspec
import pytest

from paasd.errors import Unprocessable
from paasd.model.processes import check_type
from paasd.stager.outcome import ResultFile

ODD = ["", "web\n", "web\nX", "w\u202eb", "a/b", "../x", "-x", "a b", "x" * 256, "\x1b[2J", "\ud800"]
RESULT = {"sidecars": [], "lifecycle_metadata": {"detected_buildpack": "", "buildpacks": []}, "layers": []}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_word_is_refused_in_words_that_can_be_shown(odd: str) -> None:
    with pytest.raises(Unprocessable, match="must be 1 to 255 letters") as caught:
        check_type(odd)
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize("type_", ["web", "worker-2", "0", "release.v1", "x" * 255])
def test_words_are_types_for_people_and_for_builds(type_: str) -> None:
    check_type(type_)
    told = {**RESULT, "toolchains": [], "process_types": {type_: "run"}}
    assert type_ in msgspec.json.decode(msgspec.json.encode(told), type=ResultFile).process_types


@pytest.mark.parametrize("odd", ODD[:-1])
def test_a_build_that_writes_its_own_result_cannot_bring_others(odd: str) -> None:
    sidecar = {"name": "s", "command": "c", "process_types": [odd]}
    for told in ({"process_types": {odd: "run"}}, {"process_types": {}, "sidecars": [sidecar]}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode({**RESULT, "toolchains": [], **told}), type=ResultFile)
