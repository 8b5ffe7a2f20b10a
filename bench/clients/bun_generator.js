// A second load generator, to check the first: Bun's own WebSocket client.
// Arguments: port, echo or broadcast, connections, depth, octets, seconds, process of the server
const { readFileSync, readdirSync } = require("node:fs");
const [port, mode, ...numbers] = process.argv.slice(2);
const [connections, depth, size, seconds, pid] = numbers.map(Number);
const payload = Buffer.alloc(size, "abcdefgh");
const url = `ws://127.0.0.1:${port}/${mode === "broadcast" ? "broadcast" : ""}`;
const sockets = [];
let opened = 0;
let count = 0;
let missing = [];
let began = 0;
let usedBefore = 0;

// CPU time of all the process's threads, in seconds.
function used() {
  let sum = 0;
  for (const task of readdirSync(`/proc/${pid}/task`))
    sum += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  return sum / 1e9;
}

function fail(words) {
  console.error(words);
  process.exit(1);
}

// A broadcast is complete when everybody has it; messages are alike, so the oldest gets them.
function delivered() {
  missing[0] -= 1;
  if (missing[0] > 0) return;
  missing.shift();
  missing.push(connections);
  sockets[0].send(payload);
}

function received(socket, data) {
  if (!Buffer.from(data).equals(payload)) fail("a message is not what was sent");
  count += 1;
  if (mode === "broadcast") delivered();
  else socket.send(payload);
}

function begin() {
  if (mode === "broadcast") {
    missing = Array(depth).fill(connections);
    for (let i = 0; i < depth; i++) sockets[0].send(payload);
  } else {
    for (const socket of sockets) for (let i = 0; i < depth; i++) socket.send(payload);
  }
  setTimeout(() => {
    count = 0;
    usedBefore = used();
    began = performance.now();
    setTimeout(end, seconds * 1000);
  }, seconds * 300);
}

function end() {
  const elapsed = (performance.now() - began) / 1000;
  const cpu = used() - usedBefore;
  const figures = { per_second: count / elapsed, cpu_us: (cpu / count) * 1e6 };
  console.log(JSON.stringify({ ...figures, busy: cpu / elapsed }));
  process.exit(0);
}

function open() {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    sockets.push(socket);
    opened += 1;
    if (opened < connections) open();
    else setTimeout(begin, 300);
  };
  socket.onmessage = (event) => received(socket, event.data);
  socket.onclose = () => fail("the server closed a connection");
  socket.onerror = () => fail("a connection failed");
}
open();
