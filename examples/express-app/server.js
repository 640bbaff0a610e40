const path = require("node:path");
const express = require("express");

const app = express();
app.set("trust proxy", true);
app.use(express.static(path.join(__dirname, "public")));

app.get("/", (request, response) => {
  response.send(`<!doctype html><title>express-app</title><h1>Hello</h1><p id=now></p><script type=module src="/client.js"></script>`);
});

app.get("/api/time", (request, response) => {
  response.json({ time: new Date().toISOString(), secure: request.secure });
});

const server = app.listen(process.env.PORT || 8080, () => console.log("listening on", server.address().port));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
