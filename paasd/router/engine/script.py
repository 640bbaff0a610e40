"""The few lines of Lua that run in Envoy for every request and response: what its configuration cannot say."""

from paasd.router.table import HOST_HEADER, INSTANCE_HEADER

# The host as the route table spells it decides the cluster, while the app sees the Host header as the client sent it.
# A session is sticky as in Cloud Foundry: an app that sets JSESSIONID gets a __VCAP_ID__ cookie beside it, which names
# the instance by its opaque guid; both cookies together bring the client back to it.
SCRIPT = f"""
function envoy_on_request(handle)
  local headers = handle:headers()
  local host = headers:get(":authority") or ""
  host = host:gsub(":%d*$", ""):lower()
  headers:replace("{HOST_HEADER}", host)
  if not headers:get("traceparent") then
    local id = (headers:get("x-vcap-request-id") or ""):gsub("-", "")
    if #id == 32 then
      headers:add("traceparent", "00-" .. id .. "-" .. id:sub(17, 32) .. "-00")
    end
  end
  local cookie = headers:get("cookie")
  if cookie and cookie:find("JSESSIONID=", 1, true) then
    local instance = cookie:match("__VCAP_ID__=([%w-]+)")
    if instance then
      handle:streamInfo():dynamicMetadata():set("envoy.lb", "instance", instance)
    end
  end
  handle:clearRouteCache()
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local instance = headers:get("{INSTANCE_HEADER}")
  if not instance then
    return
  end
  headers:remove("{INSTANCE_HEADER}")
  for index = 0, headers:getNumValues("set-cookie") - 1 do
    local cookie = headers:getAtIndex("set-cookie", index)
    local attributes = cookie and cookie:match("^JSESSIONID=[^;]*(.*)$")
    if attributes then
      local lower = attributes:lower()
      local age = lower:match(";%s*max%-age=(-?%d+)")
      local sticky = "__VCAP_ID__=" .. instance .. "; Path=/; HttpOnly"
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
