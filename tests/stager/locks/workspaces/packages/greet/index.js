module.exports = () => `a minute has ${require("ms")("1m")} ms`;
