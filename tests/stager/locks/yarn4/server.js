const express = require("express");
const fs = require("fs");
const ms = require("ms");
const app = express();
app.use(express.static("public"));
app.get("/", (_, answer) => answer.json({ minute: ms("1m"), esbuild: fs.existsSync("node_modules/esbuild") }));
app.listen(process.env.PORT);
