// The script of the inspector. Two WebSockets: the watch, on which the server reports, and the
// subject, on which it reports. (Reports on the subject itself would have to report themselves.)
import { $, address, describe, number, say } from "./common.js";

const frames = $("#frames");
const log = $("#inspector-log");
const MAX_SHOWN = 200; // the oldest go

let watch = null;
let subject = null;
let token = null;

// ----- The watch --------------------------------------------------------------------------------

function openWatch() {
  watch = new WebSocket(address("/inspect"));
  watch.onmessage = (event) => {
    const report = JSON.parse(event.data);
    if (report.token) {
      ({ token } = report);
      $("#limits").textContent =
        `Of each connection the first ${report.frames} frames are reported, ` +
        `of each payload the first ${report.shown} bytes.`;
      openSubject();
    }
    if (report.request) showHandshake(report);
    if (report.frame) showFrame(report);
    if (report.limit) say(log, `${report.limit} frames seen: what follows passes unseen`);
    if (report.lost) say(log, `${report.lost} reports were lost: this page was too slow`);
    if (report.error) say(log, report.error);
    if (report.ended) say(log, `connection ${report.connection}: the TCP stream has ended`);
  };
  watch.onclose = (event) => {
    say(log, `the watch has ended: ${describe(event)}`);
    watch = token = null;
    showState();
  };
}

// ----- The subject ------------------------------------------------------------------------------

function openSubject() {
  subject = new WebSocket(address(`/inspected?token=${token}`));
  subject.onopen = showState;
  subject.onmessage = (event) => {
    const isText = typeof event.data === "string";
    say(log, `the page received ${isText ? `“${event.data.slice(0, 80)}”` : "binary data"}`);
  };
  subject.onclose = (event) => {
    say(log, `the page's connection has closed: ${describe(event)}`);
    showState();
  };
}

$("#connect").onclick = () => {
  frames.replaceChildren();
  log.replaceChildren();
  if (subject?.readyState === WebSocket.OPEN) subject.close(1000, "again");
  if (watch === null) openWatch();
  else openSubject();
};

$("#say").onsubmit = (event) => {
  event.preventDefault(); // stay on this page
  if (subject?.readyState !== WebSocket.OPEN) return;
  subject.send($("#text").value);
  $("#text").value = "";
};

$("#bye").onclick = () => subject?.close(1000, "Closing normally!");

// Things only the server can do, asked for on the watch.
for (const button of document.querySelectorAll("button[data-wish]")) {
  button.onclick = () => watch?.send(JSON.stringify({ do: button.dataset.wish }));
}

function showState() {
  const open = subject?.readyState === WebSocket.OPEN;
  const url = subject?.url.replace(/token=.*/, "token=…");
  $("#state").textContent = open ? `Open: ${url}` : "Closed";
  $("#state").dataset.open = open;
  for (const button of document.querySelectorAll("#controls button:not(#connect)")) {
    button.disabled = !open;
  }
}

// ----- What is seen -----------------------------------------------------------------------------

function showHandshake({ request, response, tls }) {
  $("#request").textContent = request;
  $("#response").textContent = response;
  $("#layers").textContent = tls === null
    ? "Layers: TCP / WebSocket. The octets below are what passed on the wire."
    : `Layers: TCP / TLS / WebSocket. On the wire the octets below are encrypted with ${tls}.`;
}

function showFrame({ connection, after, frame }) {
  const item = $("#frame").content.cloneNode(true).firstElementChild;
  const set = (field, words) => (item.querySelector(`[data-field=${field}]`).textContent = words);
  item.dataset.way = frame.way;
  set("way", frame.way === "received" ? "browser → server" : "server → browser");
  set("name", frame.code ? `${frame.name} ${frame.code}` : frame.name);
  set("after", `${after.toFixed(3)} s`);
  set("opcode", `0x${frame.opcode.toString(16)}`);
  set("fin", frame.fin ? "1" : "0");
  set("rsv", frame.rsv);
  set("mask", frame.key ?? "none");
  set("length", `${number(frame.length)} bytes`);
  set("header", frame.header);
  const rest = frame.length * 3 - 1 > frame.payload.length ? " …" : "";
  set("payload", frame.payload + rest || "–");
  set("text", frame.text || "–");
  if (frame.key) set("payload-name", "unmasked");
  if (frame.inflated) set("text-name", "inflated");
  item.setAttribute("aria-label", `connection ${connection}, ${frame.way}, ${frame.name}`);
  frames.prepend(item); // the newest first
  while (frames.childElementCount > MAX_SHOWN) frames.lastElementChild.remove();
}

showState();
openWatch();
