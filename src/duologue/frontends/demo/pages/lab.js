// The script of the lab: one block for each panel of the page, in the same order.
import {
  $, STATES, address, describe, ended, howItEnded, onClick, say, visitLab,
} from "./common.js";

// ----- Hello ------------------------------------------------------------------------------------
{
  const words = {
    en: { open: "Connection open ...", close: "Connection closed." },
    zh: { open: "Web Socket 已连接上 ...", close: "Connection closed." },
  };

  $("#hello-run").onclick = () => {
    const { open, close } = words[$("#hello-language").value];
    const log = $("#hello-log");
    log.replaceChildren();
    const ws = new WebSocket(address("/echo"));
    ws.onopen = () => {
      say(log, open);
      ws.send("Hello WebSockets!");
    };
    ws.onmessage = (evt) => {
      say(log, `Received Message: ${evt.data}`);
      ws.close();
    };
    ws.onclose = () => {
      say(log, close);
    };
  };
}

// ----- readyState -------------------------------------------------------------------------------
{
  const log = $("#ready-state-log");
  let ws = null;

  // The value never changes while a script runs on: looking after each event is enough.
  const show = (when) => {
    switch (ws.readyState) {
      case WebSocket.CONNECTING:
      case WebSocket.OPEN:
      case WebSocket.CLOSING:
      case WebSocket.CLOSED:
        break;
      default:
        throw new Error("this never happens");
    }
    for (const [value, name] of STATES.entries()) {
      const item = $(`#ready-state-${name}`);
      if (value === ws.readyState) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
    say(log, `${when}: readyState ${ws.readyState} ${STATES[ws.readyState]}`);
  };

  const connect = (path) => {
    log.replaceChildren();
    ws?.close();
    const socket = (ws = new WebSocket(address(path)));
    show("new WebSocket()");
    for (const type of ["open", "error", "close"]) {
      socket.addEventListener(type, () => socket === ws && show(`event ${type}`));
    }
  };

  $("#ready-state-connect").onclick = () => connect("/slow");
  $("#ready-state-nowhere").onclick = () => connect("/nowhere"); // answered with 404
  $("#ready-state-close").onclick = () => {
    if (ws === null) return say(log, "There is no socket yet.");
    ws.close();
    show("after close()");
  };
  $("#ready-state-send").onclick = () => {
    if (ws === null) return say(log, "There is no socket yet.");
    // if (ws.readyState === WebSocket.OPEN) would avoid both of what can happen here.
    try {
      ws.send('{"do":"nothing"}');
      say(log, ws.readyState === WebSocket.OPEN
        ? "send(): on its way"
        : `send(): dropped without a word; bufferedAmount is ${ws.bufferedAmount}`);
    } catch (error) {
      say(log, `send(): ${error.name}`);
    }
  };

  // The constants are on the class and on every instance, and cannot be changed.
  for (const [value, name] of STATES.entries()) {
    $(`#ready-state-${name} b`).textContent = WebSocket[name];
    console.assert(WebSocket[name] === value);
  }
}

// ----- Events -----------------------------------------------------------------------------------
{
  const log = $("#events-log");
  const fields = {
    open: () => "",
    message: (event) => ` data ${JSON.stringify(event.data)}, origin ${event.origin}`,
    error: () => " (says nothing about why)",
    close: (event) => ` ${describe(event)}`,
  };
  const run = (path) => {
    log.replaceChildren();
    const ws = new WebSocket(address(path));
    for (const [type, tell] of Object.entries(fields)) {
      ws[`on${type}`] = (event) => {
        say(log, `on${type}${tell(event)}`);
        const count = $(`#events-${type}`);
        count.textContent = Number(count.textContent) + 1;
      };
    }
    ws.addEventListener("open", () => ws.send("Hello Server!"));
    ws.addEventListener("message", () => ws.close(1000, "Closing normally!"));
  };
  $("#events-run").onclick = () => run("/echo");
  $("#events-fail").onclick = () => run("/nowhere");
}

// ----- Several listeners ------------------------------------------------------------------------
{
  const log = $("#listeners-log");
  $("#listeners-run").onclick = () => {
    log.replaceChildren();
    const ws = new WebSocket(address("/echo"));
    ws.addEventListener("open", () => ws.send("first"));
    ws.addEventListener("message", () => say(log, "1. addEventListener"));
    ws.onmessage = () => say(log, "2. onmessage, replaced below");
    ws.addEventListener("message", () => say(log, "3. addEventListener, once"), { once: true });
    ws.addEventListener("message", { handleEvent: () => say(log, "4. an object's handleEvent") });
    // Takes the place of the handler before, in the order too.
    ws.onmessage = (event) => {
      say(log, `2. onmessage: ${event.data}`);
      if (event.data === "first") ws.send("second");
      else ws.close();
    };
  };
}

// ----- close(code, reason) ----------------------------------------------------------------------
{
  const log = $("#close-log");
  onClick($("#close-run"), async () => {
    log.replaceChildren();
    const { socket, visit } = await visitLab();
    const code = $("#close-code").value.trim();
    const reason = $("#close-reason").value;
    try {
      if (code === "") socket.close();
      else socket.close(Number(code), reason);
    } catch (error) {
      // A page may use 1000 and 3000 to 4999, and a reason of at most 123 bytes of UTF-8.
      say(log, `close() throws ${error.name}: ${error.message}`);
      socket.close();
      return;
    }
    say(log, `readyState is ${STATES[socket.readyState]} at once`);
    say(log, `the page gets: ${describe(await ended(socket))}`);
    const seen = await howItEnded(visit);
    if (seen === null) {
      say(log, "nobody can tell what the server saw: its worker has gone");
      return;
    }
    say(log, `the server received: ${frame(seen.received)}`);
    say(log, `the server sent back: ${frame(seen.sent)}`);
  });

  // 1005 is how libraries write that a Close frame had no code.
  function frame(close) {
    if (close === null) return "nothing";
    if (close.code === 1005) return "a Close frame without a code";
    return `a Close frame with ${close.code} “${close.reason}”`;
  }
}

// ----- Subprotocols -----------------------------------------------------------------------------
{
  const log = $("#subprotocol-log");
  $("#subprotocol-run").onclick = () => {
    log.replaceChildren();
    const boxes = document.querySelectorAll("#subprotocol input:checked");
    const offered = [...boxes].map((box) => box.value);
    const ws = new WebSocket(address("/subprotocol"), offered);
    ws.onopen = () => say(log, `open: protocol is ${JSON.stringify(ws.protocol)}`);
    ws.onmessage = (event) => {
      const { offered, chosen } = JSON.parse(event.data);
      say(log, `the server was offered ${offered || "nothing"} and chose ${chosen ?? "none"}`);
      ws.close(1000);
    };
    ws.onerror = () => say(log, "error: nothing in common, so the browser refuses the answer");
    ws.onclose = (event) => say(log, `close: ${describe(event)}`);
  };
}

// ----- ws and wss -------------------------------------------------------------------------------
{
  const log = $("#scheme-log");
  const secure = location.protocol === "https:";
  const choose = (usable, why) => {
    for (const radio of document.querySelectorAll("#scheme input[type=radio]")) {
      radio.checked = radio.value === (secure ? "wss" : "ws");
      radio.disabled = !usable.includes(radio.value);
    }
    $("#scheme-why").replaceChildren(...why);
  };
  const link = (url) => {
    const found = document.createElement("a");
    found.href = found.textContent = url;
    return found;
  };
  const offer = (schemes) => {
    if (!schemes.includes("wss")) {
      choose(["ws"], ["This server has no certificate. Start it with --ssl-certfile and " +
        "--ssl-keyfile, and its port speaks wss and https, too."]);
    } else if (!secure) {
      choose(["ws", "wss"], ["This server speaks both on its one port: TLS begins with the octet " +
        "0x16, HTTP with a letter. If wss fails, the browser doesn't know the server's " +
        "certificate: accept it once at ", link(`https://${location.host}/lab#scheme`)]);
    } else {
      const both = schemes.includes("ws");
      choose(["wss"], ["This page came over https. It must not use ws, since what is protected " +
        "must not lean on what isn't.",
        ...(both ? [" It may use both at ", link(`http://${location.host}/lab#scheme`)] : [])]);
    }
  };
  offer([secure ? "wss" : "ws"]);
  fetch("/schemes").then((answer) => answer.json()).then(offer);

  $("#scheme-run").onclick = () => {
    log.replaceChildren();
    const scheme = $("#scheme input[type=radio]:checked").value;
    const ws = new WebSocket(`${scheme}://${location.host}/echo`);
    ws.onopen = () => {
      say(log, `open: ${ws.url}`);
      say(log, scheme === "wss" ? "layers: TCP / TLS / WebSocket" : "layers: TCP / WebSocket");
      ws.close(1000);
    };
    ws.onclose = (event) => say(log, `close: ${describe(event)}`);
  };

  // The address of a WebSocket is a URL like any other.
  const layers = { "ws:": ["80", "without TLS"], "wss:": ["443", "with TLS"] };
  const read = (text) => {
    if (!URL.canParse(text)) return "not a URL";
    const url = new URL(text);
    if (!(url.protocol in layers)) return `${url.protocol} is not a WebSocket's scheme`;
    if (url.href.includes("#")) return "a WebSocket's URL has no fragment (#)";
    const [port, layer] = layers[url.protocol];
    const target = url.pathname + url.search;
    return (
      `${url.href} – host ${url.hostname}, port ${url.port || port}, ${layer}, ` +
      `asks for ${target}`
    );
  };
  const show = () => ($("#scheme-parsed").textContent = read($("#scheme-url").value));
  $("#scheme-url").oninput = show;
  show();
}
