#!/usr/bin/env node
// Adds up what comes, one JSON message a line. Try: duologue run --port=8080 ./sum.js
const readline = require("node:readline");

let sum = 0;
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  try {
    sum += Number(JSON.parse(line).add);
    console.log(JSON.stringify({ sum }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message) }));
  }
});
