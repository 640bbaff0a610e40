"""Where a client starts: root links, login, errors."""

from tests.api.serving import Served


async def test_root_lists_every_door_a_client_needs(served: Served) -> None:
    async with served.client() as http:
        links = (await http.get("/")).json()["links"]
    assert links["cloud_controller_v3"]["href"] == f"{served.doors.url}/v3"
    assert links["login"]["href"].endswith("/uaa")
    assert links["log_cache"]["href"] == served.doors.url
    assert "cf_on_k8s" not in links


async def test_unknown_path_is_an_unknown_request(served: Served) -> None:
    async with served.client() as http:
        answer = await http.get("/v3/nothing/here")
    assert answer.status_code == 404
    assert answer.json() == {"errors": [{"code": 10000, "title": "CF-NotFound", "detail": "Unknown request"}]}


async def test_admin_sees_the_first_organization(served: Served) -> None:
    async with await served.admin() as http:
        answer = await http.get("/v3/organizations?order_by=name")
        assert answer.status_code == 200, answer.text
        assert [one["name"] for one in answer.json()["resources"]] == ["main"]
