"""The few lines of Lua that run in Envoy for the few requests and responses that its configuration cannot serve.

A script costs a tenth of a request's processor time, so each has a condition under which it is passed by.
"""

from typing import Any

from paasd.router.table import HOST_HEADER, INSTANCE_HEADER
from paasd.router.xds.typed import EXTENSIONS

_PLAIN_HOST = "[a-z0-9._-]+"
_SESSION_COOKIE = "__VCAP_ID__="
_APP_COOKIE = "JSESSIONID="

# The host as the route table spells it decides the cluster, while the app sees the Host header as the client sent it.
# A session is sticky as in Cloud Foundry: an app that sets JSESSIONID gets a __VCAP_ID__ cookie beside it, which names
# the instance by its opaque guid; both cookies together bring the client back to it.
_ON_REQUEST = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local host = headers:get(":authority") or ""
  headers:replace("{HOST_HEADER}", (host:gsub(":%d*$", ""):lower()))
  local cookie = headers:get("cookie")
  if cookie and cookie:find("{_APP_COOKIE}", 1, true) then
    local instance = cookie:match("{_SESSION_COOKIE}([%w-]+)")
    if instance then
      handle:streamInfo():dynamicMetadata():set("envoy.lb", "instance", instance)
    end
  end
  handle:clearRouteCache()
end
"""
_ON_RESPONSE = f"""
function envoy_on_response(handle)
  local headers = handle:headers()
  local instance = headers:get("{INSTANCE_HEADER}")
  if not instance then
    return
  end
  for index = 0, headers:getNumValues("set-cookie") - 1 do
    local cookie = headers:getAtIndex("set-cookie", index)
    local attributes = cookie and cookie:match("^{_APP_COOKIE}[^;]*(.*)$")
    if attributes then
      local lower = attributes:lower()
      local age = lower:match(";%s*max%-age=(-?%d+)")
      local sticky = "{_SESSION_COOKIE}" .. instance .. "; Path=/; HttpOnly"
      if age then
        sticky = sticky .. "; Max-Age=" .. age
      end
      if lower:find(";%s*secure") then
        sticky = sticky .. "; Secure"
      end
      headers:add("set-cookie", sticky)
      return
    end
  end
end
"""


def request_script() -> dict[str, Any]:
    """The filter that finds hosts in other spellings, and instances by session."""
    plain = _header("Request", ":authority", {"safe_regex": {"google_re2": {}, "regex": _PLAIN_HOST}})
    stays = {"not_matcher": _header("Request", "cookie", {"contains": _SESSION_COOKIE})}
    return _unless("request-script", {"and_matcher": {"predicate": [plain, stays]}}, _ON_REQUEST)


def response_script() -> dict[str, Any]:
    """The filter that ties a session to the instance that began it."""
    ordinary = {"not_matcher": _header("Response", "set-cookie", {"contains": _APP_COOKIE})}
    return _unless("response-script", ordinary, _ON_RESPONSE)


def _header(kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    url = f"type.googleapis.com/envoy.type.matcher.v3.Http{kind}HeaderMatchInput"
    source = {"name": name, "typed_config": {"@type": url, "header_name": name}}
    return {"single_predicate": {"input": source, "value_match": value}}


def _unless(name: str, predicate: dict[str, Any], script: str) -> dict[str, Any]:
    skip = {
        "name": "skip",
        "typed_config": {
            "@type": EXTENSIONS + "filters.common.matcher.action.v3.SkipFilter",
        },
    }
    lua = {"@type": EXTENSIONS + "filters.http.lua.v3.Lua", "default_source_code": {"inline_string": script}}
    matchers = [{"predicate": predicate, "on_match": {"action": skip}}]
    return {
        "name": name,
        "typed_config": {
            "@type": EXTENSIONS + "common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": "envoy.filters.http.lua", "typed_config": lua},
            "xds_matcher": {"matcher_list": {"matchers": matchers}},
        },
    }
