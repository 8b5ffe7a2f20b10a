// Performs scenarios (language.py) in a page and in Node.

/** Turns a step's value into what JavaScript has for it. */
function valueOf(value) {
  if (Array.isArray(value)) return value.map(valueOf);
  if (value === null || typeof value !== "object") return value;
  if ("undefined" in value) return undefined;
  if ("number" in value) return Number(value.number);
  if ("function" in value) return () => {};
  if ("handling" in value) return { handleEvent() {} };
  if ("repeat" in value) return value.repeat.repeat(value.times);
  if ("zeros" in value) return binary(new Uint8Array(value.zeros), value.kind, 0);
  if ("octets" in value) {
    const pairs = value.octets.match(/../g) ?? [];
    return binary(Uint8Array.from(pairs, (pair) => parseInt(pair, 16)), value.kind, value.around);
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, valueOf(inner)]));
}

function binary(octets, kind, around) {
  if (kind === "Blob") return new Blob([octets]);
  if (kind === "ArrayBuffer") return octets.buffer;
  const padded = new Uint8Array(octets.length + 2 * around).fill(0xee);
  padded.set(octets, around);
  const size = globalThis[kind].BYTES_PER_ELEMENT ?? 1;
  return new globalThis[kind](padded.buffer, around, octets.length / size);
}

function hex(buffer) {
  const octets = new Uint8Array(buffer);
  if (octets.length > 64) return `${octets.length} octets`;
  return Array.from(octets, (octet) => octet.toString(16).padStart(2, "0")).join("");
}

function shown(value) {
  if (value === undefined) return "undefined";
  if (typeof value === "function") return "function";
  if (value !== null && typeof value === "object") return "object";
  if (typeof value === "string" && value.length > 200) return `${value.length} characters`;
  return value;
}

const nextTask = () => new Promise((resolve) => setTimeout(resolve, 0));

class Performance {
  constructor(scenario, { WebSocket, makeEvent }) {
    this.scenario = scenario;
    this.WebSocket = WebSocket;
    this.makeEvent = makeEvent;
    this.log = [];
    this.sockets = { WebSocket };
    this.seen = {};
    this.waiting = [];
    this.reading = [];
    this.listeners = {};
    this.controllers = {};
  }

  async perform() {
    for (const step of this.scenario.steps) {
      if ("wait" in step) await this.wait(step.ws, step.wait, step.count);
      else if ("until" in step) await this.until(step);
      else if ("turn" in step) await nextTask();
      else this.step(step, null, null);
    }
    await Promise.all(this.reading);
  }

  async wait(ws, type, count) {
    const enough = () => (this.seen[`${ws} ${type}`] ?? 0) >= count;
    while (!enough()) await new Promise((resolve) => this.waiting.push(resolve));
    await nextTask();
  }

  async until({ until: attribute, value, ws }) {
    while (this.sockets[ws][attribute] !== value) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  all(steps, event, self) {
    for (const step of steps) this.step(step, event, self);
  }

  step(step, event, self) {
    if ("fail" in step) throw new Error(`${this.scenario.name}: ${step.fail}`);
    try {
      this.attempt(step, event, self);
    } catch (error) {
      if (!("name" in error)) throw error;
      const code = typeof error.code === "number" ? error.code : null;
      this.log.push({ raised: error.name, code });
    }
  }

  attempt(step, event, self) {
    const socket = this.sockets[step.ws];
    if ("new" in step) this.make(step.ws, step.new.map(valueOf));
    else if ("call" in step) this.say("returned", socket[step.call](...step.with.map(valueOf)));
    else if ("on" in step) {
      socket[`on${step.on}`] = this.handler(step.do);
    } else if ("listen" in step) {
      socket.addEventListener(step.listen, this.listener(step), this.options(step.options));
    } else if ("unlisten" in step) {
      const options = this.options(step.options);
      socket.removeEventListener(step.unlisten, this.listeners[step.name], options);
    } else if ("abort" in step) (this.controllers[step.abort] ??= new AbortController()).abort();
    else if ("read" in step) {
      for (const name of step.read) this.log.push({ read: name, is: shown(socket[name]) });
    } else if ("assign" in step) {
      try {
        socket[step.assign] = valueOf(step.value);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // a module is strict code: read-only
      }
    } else if ("dispatch" in step) {
      const made = this.makeEvent(step.interface, step.dispatch, step.init);
      this.log.push({ dispatched: step.dispatch, is: socket.dispatchEvent(made) });
    } else if ("construct" in step) {
      const made = this.makeEvent(step.construct, ...step.with.map(valueOf));
      for (const name of step.show) this.log.push({ read: name, is: shown(made[name]) });
    } else if ("event" in step) for (const method of step.event) event[method]();
    else if ("redispatch" in step) event.currentTarget.dispatchEvent(event);
    else if ("describe" in step) this.describe(event, self);
    else if ("note" in step) this.log.push({ note: step.note });
    else throw new Error(`unknown step ${JSON.stringify(step)}`);
  }

  say(word, value) {
    if (value !== undefined) this.log.push({ [word]: shown(value) });
  }

  make(name, parameters) {
    const socket = new this.WebSocket(...parameters);
    this.sockets[name] = socket;
    for (const type of ["open", "message", "error", "close"]) {
      socket.addEventListener(type, (event) => this.record(name, socket, event));
    }
  }

  record(name, socket, event) {
    const entry = {
      event: event.type,
      ws: name,
      readyState: socket.readyState,
      bufferedAmount: socket.bufferedAmount,
      interface: event.constructor.name,
    };
    this.log.push(entry);
    if (event.type === "message") {
      entry.origin = event.origin;
      this.recordData(entry, event.data);
    } else if (event.type === "close") {
      Object.assign(entry, { code: event.code, reason: event.reason, wasClean: event.wasClean });
    }
    const key = `${name} ${event.type}`;
    this.seen[key] = (this.seen[key] ?? 0) + 1;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  recordData(entry, data) {
    if (data instanceof ArrayBuffer) entry.data = { ArrayBuffer: hex(data) };
    else if (data instanceof Blob) {
      entry.data = { Blob: data.size, type: data.type };
      this.reading.push(data.arrayBuffer().then((buffer) => (entry.data.octets = hex(buffer))));
    } else entry.data = shown(data);
  }

  handler(steps) {
    const performance = this;
    return function (event) {
      performance.all(steps, event, this);
    };
  }

  listener({ name, do: steps, object }) {
    if (name && this.listeners[name]) return this.listeners[name];
    const handler = this.handler(steps);
    const listener = object ? { handleEvent: handler } : handler;
    if (name) this.listeners[name] = listener;
    return listener;
  }

  options({ signal, third, ...options }) {
    if (third !== undefined) return third;
    if (signal) options.signal = (this.controllers[signal] ??= new AbortController()).signal;
    return options;
  }

  describe(event, self) {
    const names = ["type", "isTrusted", "bubbles", "cancelable", "composed", "eventPhase"];
    names.push("defaultPrevented", "cancelBubble", "returnValue");
    if (event.type === "message") names.push("origin", "lastEventId", "source");
    const about = Object.fromEntries(names.map((name) => [name, event[name]]));
    about.target = event.target === this.sockets.ws;
    about.currentTarget = event.currentTarget === this.sockets.ws;
    about.this = self === this.sockets.ws;
    about.path = event.composedPath().map((target) => target === this.sockets.ws);
    about.timeStamp = typeof event.timeStamp;
    if (event.type === "message") about.ports = event.ports.length;
    this.log.push({ about });
  }
}

/**
 * Performs scenarios, several at once, and returns their logs by name.
 *
 * @param scenarios - [{name, steps}]
 * @param environment - WebSocket; makeEvent(interface, ...); limit: seconds for one scenario;
 *   atOnce: how many; reports: a list, to which the messages of uncaught exceptions are added
 */
export async function perform(scenarios, environment) {
  const logs = {};
  const queue = [...scenarios];
  const worker = async () => {
    for (let scenario; (scenario = queue.shift()); ) {
      const performance = new Performance(scenario, environment);
      let timer;
      const late = new Promise((resolve) => {
        timer = setTimeout(() => resolve(true), environment.limit * 1000);
      });
      if (await Promise.race([performance.perform(), late])) performance.log.push({ late: true });
      clearTimeout(timer);
      logs[scenario.name] = [...performance.log]; // without what comes after the last step
    }
  };
  await Promise.all(Array.from({ length: environment.atOnce }, worker));
  await nextTask();
  for (const report of environment.reports) {
    const [name, text] = report.split(": ");
    logs[name].push({ reported: text });
  }
  return logs;
}
