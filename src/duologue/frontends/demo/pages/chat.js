// The script of the chat page. Each page in a room has a WebSocket to one of the server's workers,
// which passes on what anybody says there, whichever worker he is connected to.
import { $, address } from "./common.js";

const MAX_LINES = 200; // the oldest go
const MAX_LISTED = 50;
const MAX_TRIES = 50; // to get to another worker
const BAD_NAME = 4400; // the server's own close codes
const AVOIDED = 4409;

const text = $("#text");
const send = $("#send");
const state = $("#state");
const messages = $("#messages");

const asked = new URLSearchParams(location.search).get("room") ?? "";
let name = chosenName();
let ws = null;
let me = null; // what the server has told us of ourselves
let members = new Map(); // who is here, by the connection's id
let ending = null; // how the connection has ended, until there is another one
let attempts = 0;
let timer = null;
let avoid = ""; // the worker that we don't want to get to

// ----- The connection ---------------------------------------------------------------------------

function connect() {
  clearTimeout(timer);
  const wishes = new URLSearchParams({ room: asked, name, avoid });
  const socket = new WebSocket(address(`/rooms?${wishes}`));
  ws = socket;
  socket.onmessage = (event) => {
    const { kind, ...news } = JSON.parse(event.data);
    hear[kind]?.(news);
  };
  socket.onclose = (event) => {
    console.log("websocket closed");
    if (socket === ws) comeBack(event);
  };
}

// The worker may have died, or the server may be starting anew: another worker will have us. All
// who were cut off at the same time come back at different times, later and later; a server that
// closes in an orderly way tells each of them a time of his own.
function comeBack({ code, reason }) {
  showNobody();
  if (code === AVOIDED) {
    // Which worker gets a connection is the operating system's choice: try again.
    attempts += 1;
    if (attempts > MAX_TRIES) avoid = "";
    timer = setTimeout(connect, 20);
    return;
  }
  avoid = ""; // it may be the only one that is left
  const said = `Closed: ${code}${reason ? ` – ${reason}` : ""}`;
  if (code === BAD_NAME) {
    showState(said);
    return;
  }
  // Why we were cut off says more than why we can't come back yet.
  ending ??= said;
  showState(`${ending} – connecting again …`);
  const told = /^retry after ([\d.]+) s$/.exec(reason)?.[1];
  const longest = Math.min(10_000, 500 * 2 ** attempts);
  attempts += 1;
  timer = setTimeout(connect, told ? told * 1000 : 100 + Math.random() * longest);
}

// ----- What the server says ---------------------------------------------------------------------

const hear = {
  // First of all: who we are, and who was here before.
  welcome(news) {
    if (me) addNotice("you were away: what was said meanwhile is lost");
    me = news;
    attempts = 0;
    ending = null;
    avoid = "";
    name = news.name; // which we keep when we have to come back
    members = new Map(news.members.map((member) => [member.id, member]));
    document.title = `${news.room} · Chat · duologue demo`;
    $("#room-title").textContent = news.room;
    $("#room").value = news.room;
    $("#name").placeholder = news.name;
    $("#worker").textContent =
      `Worker ${news.worker} of ${news.workers}, process ${news.process}, serves this page. ` +
      "An arrow marks what has come from another one.";
    $("#move").hidden = news.workers === 1;
    text.maxLength = news.most;
    send.disabled = false;
    showState("Connected");
    showMembers();
    showRooms(news.rooms);
  },

  // The server announces newcomers to all, so we hear of ourselves, too.
  join(member) {
    members.set(member.id, member);
    addNotice(`${member.name} come in!`);
    showMembers();
  },

  leave(member) {
    members.delete(member.id);
    addNotice(`${member.name} left`);
    showMembers();
  },

  said(words) {
    addMessage(words);
  },

  rooms({ rooms }) {
    showRooms(rooms);
  },

  error(complaint) {
    addNotice(complaint.text);
  },
};

// ----- What the page shows ----------------------------------------------------------------------

// Makes an element. Whatever others have chosen gets here as text and stays text: with innerHTML,
// anybody in the room could put a script into everybody's page.
function make(tag, words = "", properties = {}) {
  const element = document.createElement(tag);
  element.textContent = words;
  return Object.assign(element, properties);
}

function addNotice(words) {
  const line = make("article", "", { className: "notice" });
  line.append(make("div", words));
  add(line);
}

function addMessage({ id, name, worker, text, cut }) {
  const line = make("article", "", { className: id === me.id ? "mine" : "" });
  const head = make("header");
  const clock = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  head.append(make("b", name), badge(worker), make("time", clock));
  line.append(head, make("div", text));
  if (cut) line.append(make("small", `… cut: ${cut} characters`));
  add(line);
}

function add(line) {
  const atEnd = messages.scrollTop + messages.clientHeight >= messages.scrollHeight - 8;
  messages.append(line);
  while (messages.childElementCount > MAX_LINES) messages.firstElementChild.remove();
  // Follow the talk, unless the reader has scrolled up to read.
  if (atEnd) messages.scrollTop = messages.scrollHeight;
}

function badge(worker) {
  const crosses = worker !== me.worker;
  return make("span", crosses ? `worker ${worker} → ${me.worker}` : `worker ${worker}`, {
    className: crosses ? "badge crossing" : "badge",
  });
}

function showMembers() {
  $("#count").textContent = members.size || "";
  const shown = [...members.values()].slice(0, MAX_LISTED).map((member) => {
    const line = make("li", member.id === me.id ? `${member.name} (you)` : member.name);
    line.append(make("span", `worker ${member.worker}`, { className: "badge" }));
    return line;
  });
  $("#members").replaceChildren(...shown, ...rest(members.size));
}

// Without a connection there is nobody to talk to that we know of.
function showNobody() {
  send.disabled = true;
  members.clear();
  showMembers();
}

function showRooms(rooms) {
  const list = $("#rooms");
  const entries = Object.entries(rooms);
  const lines = entries.slice(0, MAX_LISTED).map(([room, count]) => {
    // A line that is there already stays where it is: its link may have the keyboard's focus.
    const line = [...list.children].find((each) => each.dataset.room === room) ?? roomLine(room);
    line.lastElementChild.textContent = count;
    return line;
  });
  lines.push(...rest(entries.length));
  for (const line of [...list.children]) if (!lines.includes(line)) line.remove();
  lines.forEach((line, index) => {
    const there = list.children[index] ?? null;
    if (there !== line) list.insertBefore(line, there);
  });
}

function roomLine(room) {
  const line = make("li");
  const link = make("a", room, { href: `/chat?${new URLSearchParams({ room })}` });
  if (room === me.room) link.ariaCurrent = "page";
  line.dataset.room = room;
  line.append(link, make("span", "", { className: "badge" }));
  return line;
}

function rest(count) {
  return count > MAX_LISTED ? [make("li", `and ${count - MAX_LISTED} more`)] : [];
}

function showState(words) {
  state.textContent = words;
  state.dataset.open = ws.readyState === WebSocket.OPEN;
}

// ----- What the visitor does --------------------------------------------------------------------

send.onclick = () => {
  if (ws.readyState !== WebSocket.OPEN) return;
  ws.send(text.value);
  text.value = "";
  text.focus();
};

text.onkeydown = (event) => {
  // Not while an input method is composing: there, Enter chooses a character.
  if (event.key === "Enter" && !event.isComposing) send.click();
};

$("#enter").onsubmit = (event) => {
  event.preventDefault();
  const room = $("#room").value.trim();
  if ($("#name").value.trim()) name = $("#name").value.trim();
  keepName(name);
  if (room.toLowerCase() !== (me?.room ?? asked)) {
    location.href = `/chat?${new URLSearchParams({ room })}`;
    return;
  }
  changeConnection();
};

$("#move").onclick = () => {
  avoid = me?.worker ?? "";
  changeConnection();
};

function changeConnection() {
  ws.onclose = ws.onmessage = null; // it's nothing to us any more
  ws.close(1000);
  me = ending = null;
  showNobody();
  showState("Connecting …");
  connect();
}

// A name lasts as long as the tab. Pages may be forbidden to keep anything.
function chosenName() {
  try {
    return sessionStorage.getItem("name") ?? "";
  } catch {
    return "";
  }
}

function keepName(name) {
  try {
    sessionStorage.setItem("name", name);
  } catch {
    // Then it is gone with the page.
  }
}

$("#room").value = asked;
$("#name").value = name;
connect();
