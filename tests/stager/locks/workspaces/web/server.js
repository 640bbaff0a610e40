const express = require("express");
const fs = require("fs");
const path = require("path");
const app = express();
const built = path.join(__dirname, "public");
app.use(express.static(built));
app.get("/", (_, answer) => answer.json({
  greeting: require("@shop/greet")(),
  esbuild: fs.existsSync(path.join(__dirname, "..", "node_modules", "esbuild")),
}));
app.listen(process.env.PORT);
