// The script of the page on close codes. Each button opens a connection of its own and asks the
// server to end it; the row then shows what the browser makes of that.
import { $, address, describe, ended, onClick, visitLab } from "./common.js";

const run = {
  // The server does the closing handshake: Close frame, Close frame back, end of TCP.
  close: async (code) => lab({ do: "close", code, reason: "as you wished" }),
  // Close() without a code: a frame with an empty body.
  none: async () => lab({ do: "close" }),
  // The server writes the forbidden frame by hand, past its own protocol code.
  forge: async (code) => lab({ do: "forge", code }),
  // No Close frame at all.
  cut: async () => lab({ do: "cut" }),
  // TLS with a server that speaks none: the connection fails before any handshake of ours.
  tls: async () => ended(new WebSocket(address("/lab").replace(/^ws:/, "wss:"))),
};

async function lab(command) {
  const { socket } = await visitLab();
  let refusal = "";
  socket.onmessage = (event) => (refusal = JSON.parse(event.data).refused ?? "");
  socket.send(JSON.stringify(command));
  const event = await ended(socket);
  if (refusal) throw new Error(refusal);
  return event;
}

for (const button of document.querySelectorAll("button[data-run]")) {
  const cell = button.closest("tr").querySelector("output");
  onClick(button, async () => {
    const { run: what, code } = button.dataset;
    cell.textContent = "…";
    try {
      cell.textContent = describe(await run[what](Number(code)));
    } catch (error) {
      cell.textContent = error instanceof CloseEvent ? describe(error) : error.message;
    }
  });
}

// Against a server with TLS, wss just works: the failure can't be shown there.
if (location.protocol === "https:") $("button[data-run=tls]").disabled = true;
