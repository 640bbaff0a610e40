"""The HTTP door: Cloud Foundry's v3 API, UAA, log-cache and the calls under /paasd/v1 that curl alone can use.

`make_route_table()` is every call as data, `make_app(platform, table)` the ASGI app made from it, and
`open_server(app, ...)` serves it on a loopback port and a Unix socket for root.
Handlers parse, call one action and present the result.
"""
