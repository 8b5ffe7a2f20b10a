// Performs the scenarios of standard input with undici's WebSocket; the logs go to standard output.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [, , peers, performer] = process.argv;
const require = createRequire(`${peers}/`);
const undici = require("undici");
const { perform } = await import(pathToFileURL(performer));

const interfaces = { Event, MessageEvent: undici.MessageEvent, CloseEvent: undici.CloseEvent };
const reports = [];
process.on("uncaughtException", (error) => reports.push(error.message));

let text = "";
for await (const piece of process.stdin.setEncoding("utf8")) text += piece;
const { scenarios, base, limit } = JSON.parse(text);
undici.setGlobalOrigin(base);
const logs = await perform(scenarios, {
  WebSocket: undici.WebSocket,
  makeEvent: (name, ...parameters) => new interfaces[name](...parameters),
  limit,
  atOnce: 16,
  reports,
});
process.stdout.write(JSON.stringify(logs), () => process.exit());
