// The script of the page on push, streams and calls: one block for each panel, in the same order.
import { $, address, describe, ended, onClick, say } from "./common.js";

// ----- Push -------------------------------------------------------------------------------------
{
  const log = $("#ticker-log");
  const button = $("#ticker-run");
  let ws = null;

  button.onclick = () => {
    if (ws !== null) return ws.close(1000);
    log.replaceChildren();
    ws = new WebSocket(address("/ticker"));
    button.textContent = "Stop";
    // The page only listens: no question, no timer, no polling.
    ws.onmessage = (e) => {
      // An empty message would be falsy, and worth nothing here.
      if (e.data) {
        const { number, time } = JSON.parse(e.data);
        $("#ticker-time").textContent = time;
        say(log, `message ${number}: ${time}`);
      }
    };
    ws.onclose = (event) => {
      say(log, `closed: ${describe(event)}`);
      button.textContent = "Listen";
      ws = null;
    };
  };
}

// ----- Both directions at once ------------------------------------------------------------------
{
  const log = $("#both-ways-log");
  const button = $("#both-ways-run");
  const COUNT = 200;

  onClick(button, async () => {
    log.replaceChildren();
    const ws = new WebSocket(address("/stream"));
    let sent = 0;
    let turns = 0; // how often the direction changed: 1 would mean one after the other
    let last = "";
    const note = (direction) => {
      if (direction !== last) turns += 1;
      last = direction;
    };
    let timer;
    ws.onopen = () => {
      timer = setInterval(() => {
        ws.send(`page ${(sent += 1)}`);
        note("up");
        $("#both-ways-up").value = sent;
        if (sent === COUNT) {
          clearInterval(timer);
          ws.send("done");
        }
      }, 20);
    };
    ws.onmessage = (event) => {
      const news = JSON.parse(event.data);
      if (news.done) {
        say(log, `both have said ${COUNT} things; the direction changed ${turns} times`);
        say(log, `the server received ${news.received}`);
        ws.close(1000);
      } else {
        note("down");
        $("#both-ways-down").value = news.number;
        if (news.number % 50 === 0)
          say(log, `server's message ${news.number}: it has heard ${news.received} of ours`);
      }
    };
    const event = await ended(ws);
    clearInterval(timer);
    say(log, `closed: ${describe(event)}`);
  });
}

// ----- Calls ------------------------------------------------------------------------------------
{
  const log = $("#calls-log");
  const waiting = new Map();
  let ws = null;
  let last = 0;

  // One connection for all calls, opened with the first.
  function connection() {
    return (ws ??= new Promise((resolve, reject) => {
      const socket = new WebSocket(address("/rpc"));
      socket.onopen = () => resolve(socket);
      // Answers come in the server's order; the number says which question each belongs to.
      socket.onmessage = (event) => {
        const { id, result, error } = JSON.parse(event.data);
        const { resolve, reject } = waiting.get(id);
        waiting.delete(id);
        if (error) reject(new Error(error.message));
        else resolve(result);
      };
      socket.onclose = () => {
        ws = null;
        reject(new Error("closed"));
        for (const { reject } of waiting.values()) reject(new Error("closed"));
        waiting.clear();
      };
    }));
  }

  async function call(method, ...params) {
    const socket = await connection();
    const id = (last += 1);
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    return answer;
  }

  async function show(method, ...params) {
    const question = `${method}(${params.map((each) => JSON.stringify(each)).join(", ")})`;
    say(log, `asked: ${question}`);
    try {
      say(log, `answer: ${question} = ${JSON.stringify(await call(method, ...params))}`);
    } catch (error) {
      say(log, `answer: ${question} failed: ${error.message}`);
    }
  }

  $("#calls-run").onclick = async () => {
    log.replaceChildren();
    await Promise.all([
      show("nap", 0.8),
      show("add", 2, 3),
      show("upper", "hello"),
      show("divide", 1, 0),
    ]);
  };
  $("#calls-ask").onsubmit = (event) => {
    event.preventDefault(); // stay on this page
    show("upper", $("#calls-text").value);
  };
}
