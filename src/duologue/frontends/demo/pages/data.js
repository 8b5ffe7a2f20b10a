// The script of the page on messages and buffers: one block for each panel, in the same order.
import { $, address, nextMessage, number, onClick, opened, pause, say } from "./common.js";

// The service /digest answers each message with what it received. That the octets have arrived as
// they were is what the SHA-256 shows; browsers compute it on https pages and on localhost only.
async function compare(log, ws, payload, octets) {
  ws.send(payload);
  const answer = JSON.parse(await nextMessage(ws));
  const size = number(answer.bytes);
  say(log, `the server received ${answer.type}, ${size} bytes: ${answer.begins} …`);
  if (!crypto.subtle) return say(log, `SHA-256 there: ${answer.sha256}`);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", octets));
  const hex = [...hash].map((octet) => octet.toString(16).padStart(2, "0")).join("");
  say(log, hex === answer.sha256 ? "SHA-256: the same here and there" : "SHA-256: different!");
}

async function connect() {
  const ws = new WebSocket(address("/digest"));
  await opened(ws);
  return ws;
}

// ----- Text and binary --------------------------------------------------------------------------
{
  const log = $("#kinds-log");
  const octets = new Uint8Array([0, 1, 2, 253, 254, 255]);
  const kinds = {
    text: (text) => text,
    buffer: () => octets.buffer,
    view: () => octets.subarray(1, 3),
    blob: () => new Blob([octets]),
  };
  onClick($("#kinds-run"), async () => {
    log.replaceChildren();
    const ws = await connect();
    const payload = kinds[$("#kinds-kind").value]($("#kinds-text").value);
    await compare(log, ws, payload, await new Blob([payload]).arrayBuffer());
    ws.close(1000);
  });
}

// ----- A file -----------------------------------------------------------------------------------
{
  const log = $("#file-log");
  onClick($("#file-run"), async () => {
    log.replaceChildren();
    const file = $("#file-input").files[0];
    if (file === undefined) return say(log, "Choose a file first.");
    // More than the server takes in one message; it would close with 1009.
    if (file.size > 16 * 1024 * 1024) return say(log, "The server takes 16 MiB in one message.");
    const ws = await connect();
    // A File is a Blob, and a Blob may be sent as it is.
    await compare(log, ws, file, await file.arrayBuffer());
    ws.close(1000);
  });
}

// ----- A canvas ---------------------------------------------------------------------------------
{
  const log = $("#canvas-log");
  const canvas_context = $("#canvas-picture").getContext("2d", { willReadFrequently: true });
  const colours = canvas_context.createLinearGradient(0, 0, 400, 320);
  colours.addColorStop(0, "#0f766e");
  colours.addColorStop(1, "#f59e0b");
  canvas_context.fillStyle = colours;
  canvas_context.fillRect(0, 0, 400, 320);
  canvas_context.fillStyle = "#ffffff";
  canvas_context.font = "600 44px system-ui, sans-serif";
  canvas_context.fillText("400 × 320", 90, 175);

  onClick($("#canvas-run"), async () => {
    log.replaceChildren();
    // Sending canvas ImageData as ArrayBuffer
    const img = canvas_context.getImageData(0, 0, 400, 320);
    const binary = new Uint8Array(img.data.length);
    for (let i = 0; i < img.data.length; i++) {
      binary[i] = img.data[i];
    }
    const ws = await connect();
    await compare(log, ws, binary.buffer, binary.buffer);
    ws.close(1000);
  });
}

// ----- binaryType -------------------------------------------------------------------------------
{
  const log = $("#binary-type-log");
  onClick($("#binary-type-run"), async () => {
    log.replaceChildren();
    const ws = new WebSocket(address("/echo"));
    await opened(ws);
    for (const type of ["blob", "arraybuffer"]) {
      ws.binaryType = type;
      ws.send(new Uint8Array(1000));
      const data = await nextMessage(ws);
      // What it is can be told by looking at it, too. (A string's typeof is "string".)
      if (data instanceof Blob) say(log, `binaryType "blob": a Blob, size ${data.size}`);
      if (data instanceof ArrayBuffer)
        say(log, `binaryType "arraybuffer": an ArrayBuffer, byteLength ${data.byteLength}`);
    }
    ws.binaryType = "string"; // not a possible value: ignored
    say(log, `after binaryType = "string" it still is "${ws.binaryType}"`);
    ws.send("text");
    say(log, `text is a ${typeof (await nextMessage(ws))} whatever binaryType says`);
    ws.close(1000);
  });
}

// ----- bufferedAmount ---------------------------------------------------------------------------
{
  const log = $("#buffered-log");
  const meter = $("#buffered-meter");
  onClick($("#buffered-run"), async () => {
    log.replaceChildren();
    const socket = await connect();
    const answer = nextMessage(socket);
    const data = new ArrayBuffer(10000000);
    socket.send(data);
    if (socket.bufferedAmount === 0) {
      say(log, "sent");
    } else {
      say(log, `not sent yet: bufferedAmount is ${number(socket.bufferedAmount)}`);
    }
    try {
      socket.bufferedAmount = 1;
    } catch (error) {
      // In scripts that are not modules it is ignored without a word.
      say(log, `it is read-only: setting it is a ${error.name}`);
    }
    // It never falls while a script runs; it can when the browser gets its turn.
    while (socket.bufferedAmount > 0) {
      meter.value = socket.bufferedAmount;
      await pause(4);
    }
    meter.value = 0;
    say(log, "sent: bufferedAmount is 0");
    say(log, `the server has all ${number(JSON.parse(await answer).bytes)} bytes`);
    socket.send("你好");
    say(log, `send("你好") adds its UTF-8 bytes: ${socket.bufferedAmount}`);
    socket.close(1000);
  });
}

// ----- Throttling -------------------------------------------------------------------------------
{
  const log = $("#throttle-log");
  const button = $("#throttle-run");
  const maxData = 10240;
  let stop = null;

  button.onclick = () => {
    if (stop !== null) return stop();
    log.replaceChildren();
    const ws = new WebSocket(address("/echo"));
    let received = 0;
    ws.onopen = () => {
      const interval = setInterval(() => {
        if (ws.bufferedAmount < maxData) {
          ws.send("x".repeat(Number($("#throttle-size").value)));
          say(log, `sent; bufferedAmount ${number(ws.bufferedAmount)}; echoes ${received}`);
        } else {
          say(log, `held back; bufferedAmount ${number(ws.bufferedAmount)}`);
        }
      }, 1000);
      ws.addEventListener("close", () => clearInterval(interval));
      button.textContent = "Stop";
    };
    ws.onmessage = () => (received += 1);
    ws.onclose = () => {
      say(log, "stopped");
      button.textContent = "Start";
      stop = null;
    };
    stop = () => ws.close(1000);
  };
}
