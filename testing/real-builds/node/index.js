const ms = require("ms");

if (ms("2 days") !== 172800000) process.exit(1);
console.log("hello from node", require("ms/package.json").version);
