"""A chat over WebSockets on bare ASGI: what one client says, every client of this instance hears."""

PAGE = b"""<!doctype html>
<title>Chat</title>
<h1>Chat</h1><form id=f><input id=t autofocus></form><ul id=l></ul>
<script>
const s = new WebSocket(location.href.replace(/^http/, "ws") + "chat");
s.onmessage = e => {
  l.insertAdjacentElement("afterbegin", Object.assign(document.createElement("li"), {textContent: e.data}));
};
f.onsubmit = e => { e.preventDefault(); s.send(t.value); t.value = ""; };
</script>
"""

listeners = set()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await chat(receive, send)
    elif scope["type"] == "http":
        found = scope["path"] == "/"
        headers = [(b"content-type", b"text/html; charset=utf-8" if found else b"text/plain")]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE if found else b"not here\n"})


async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def chat(receive, send):
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
            listeners.add(send)
        elif message["type"] == "websocket.receive":
            for listener in list(listeners):
                await listener({"type": "websocket.send", "text": message.get("text") or ""})
        else:
            listeners.discard(send)
            return
