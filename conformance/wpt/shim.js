// The globals of a page, in an engine that has none: thin proxies of duologue's Python classes.
//
// An object here and one there are the same thing: `pass` and `take` turn one into the other and
// back, so that identity is kept. Python is called by `__python(operation, ...arguments)`, with
// JSON; what it raises is thrown here. The conversions of Web IDL (a number from any value, say)
// are made here, as an engine's bindings do: they are JavaScript's part, not the class's.
"use strict";

(() => {
  const global = globalThis;
  const python = global.__python;
  delete global.__python;

  // ---- values across the border

  const ours = new Map(); // handle of a Python object -> its proxy
  const handles = new WeakMap(); // proxy -> handle
  const theirs = new Map(); // number of an object of ours that Python has -> the object
  const numbers = new WeakMap();
  const classes = new Map(); // Python class name -> our class
  const promises = new Map(); // handle of a Python promise -> how to settle ours
  let count = 0;

  const packed = (bytes) => {
    const parts = [];
    for (let start = 0; start < bytes.length; start += 8192) {
      const codes = Array.from(bytes.subarray(start, start + 8192), (byte) => byte + 256);
      parts.push(String.fromCharCode.apply(null, codes));
    }
    return parts.join("");
  };

  const unpacked = (text) => {
    const bytes = new Uint8Array(text.length);
    for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
    return bytes;
  };

  const octetsOf = (value) => {
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    if (ArrayBuffer.isView(value))
      return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return null;
  };

  const refuseOddBuffers = (value) => {
    const buffer = ArrayBuffer.isView(value) ? value.buffer : value;
    if (buffer.resizable || !(buffer instanceof ArrayBuffer))
      throw new TypeError("resizable and shared buffers are refused");
  };

  const pass = (value) => {
    if (value === undefined) return { undefined: true };
    if (value === null || typeof value === "boolean" || typeof value === "string") return value;
    if (typeof value === "number") return Number.isFinite(value) ? value : { number: String(value) };
    const octets = octetsOf(value);
    if (octets !== null) return { octets: packed(octets) };
    if (handles.has(value)) return { python: handles.get(value) };
    if (Array.isArray(value)) return { list: value.map(pass) };
    if (value instanceof Dictionary) {
      const members = {};
      for (const [name, member] of Object.entries(value.members)) members[name] = pass(member);
      return { members };
    }
    if (!numbers.has(value)) {
      numbers.set(value, ++count);
      theirs.set(count, value);
    }
    return { javascript: numbers.get(value), callable: typeof value === "function" };
  };

  const take = (value) => {
    if (value === null || typeof value !== "object") return value;
    if ("undefined" in value) return undefined;
    if ("number" in value) return Number(value.number);
    if ("octets" in value) return unpacked(value.octets);
    if ("list" in value) return value.list.map(take);
    if ("javascript" in value) return theirs.get(value.javascript);
    if ("promise" in value) return promiseOf(value.promise);
    if ("members" in value) {
      const members = {};
      for (const [name, member] of Object.entries(value.members)) members[name] = take(member);
      return members;
    }
    return proxyOf(value);
  };

  const proxyOf = ({ python: handle, type, message }) => {
    let proxy = ours.get(handle);
    if (proxy === undefined) {
      if (type === "TypeError") proxy = new TypeError(message);
      else proxy = Object.create((classes.get(type) ?? classes.get("object")).prototype);
      adopt(proxy, handle);
    }
    return proxy;
  };

  const adopt = (proxy, handle) => {
    ours.set(handle, proxy);
    handles.set(proxy, handle);
  };

  const promiseOf = (handle) => {
    let promise = ours.get(handle);
    if (promise === undefined) {
      promise = new Promise((resolve, reject) => promises.set(handle, { resolve, reject }));
      ours.set(handle, promise);
    }
    return promise;
  };

  const call = (operation, ...args) => {
    const answer = JSON.parse(python(operation, JSON.stringify(args.map(pass))));
    if ("thrown" in answer) throw take(answer.thrown);
    return take(answer.value);
  };

  class Dictionary {
    constructor(members) {
      this.members = members;
    }
  }

  // What Python calls. Answers are JSON, too.
  global.__javascript = (operation, text) => {
    const args = JSON.parse(text).map(take);
    try {
      if (operation === "call") {
        const [func, self, ...rest] = args;
        return JSON.stringify({ value: pass(func.apply(self, rest)) });
      }
      if (operation === "get") return JSON.stringify({ value: pass(args[0][args[1]]) });
      if (operation === "settle") {
        const [handle, kept, value] = args;
        const { resolve, reject } = promises.get(handle);
        promises.delete(handle);
        kept ? resolve(value) : reject(value);
      }
      if (operation === "report") reportError(args[0]);
      return JSON.stringify({ value: null });
    } catch (error) {
      return JSON.stringify({ thrown: pass(error), text: String(error && error.stack) });
    }
  };

  // ---- conversions of Web IDL

  const surrogates = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;
  const toText = (value) => {
    if (typeof value === "symbol") throw new TypeError("a symbol is no string");
    return `${value}`;
  };
  // Unlike USVString this leaves lone surrogates to the class: it has to replace them itself.
  const toUrl = toText;
  const toNumber = (value) => Number(value);
  const toBoolean = (value) => Boolean(value);
  const toAny = (value) => value;
  const toObject = (value) => {
    if (value !== null && (typeof value === "object" || typeof value === "function")) return value;
    throw new TypeError("not an object");
  };
  const toCallback = (value) => (value === null || value === undefined ? null : toObject(value));
  const toHandler = (value) =>
    value !== null && (typeof value === "object" || typeof value === "function") ? value : null;
  const toData = (value) => {
    if (octetsOf(value) !== null) {
      refuseOddBuffers(value);
      return value;
    }
    return value instanceof Blob ? value : toText(value);
  };
  const dictionary = (members) => (value) => {
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "object" && typeof value !== "function")
      throw new TypeError("not a dictionary");
    const found = {};
    for (const [name, convert] of Object.entries(members))
      if (value[name] !== undefined) found[name] = convert(value[name]);
    return new Dictionary(found);
  };
  const toSequence = (value) => {
    if (value === null || typeof value !== "object" || !(Symbol.iterator in value))
      throw new TypeError("not a sequence");
    return Array.from(value, toText);
  };
  const toProtocols = (value) => {
    if (value === null || typeof value !== "object") return toText(value);
    if (Symbol.iterator in value) return toSequence(value);
    return dictionary({ protocols: (one) => (typeof one === "string" ? one : toSequence(one)) })(
      value,
    );
  };
  const enforceRange = (value) => {
    const number = Math.trunc(Number(value));
    if (!(number >= 0 && number <= 65535)) throw new TypeError("out of range");
    return number;
  };
  const closeInfo = dictionary({ closeCode: enforceRange, reason: toText });
  const listenerOptions = (value) =>
    typeof value === "boolean"
      ? value
      : dictionary({ capture: toBoolean, once: toBoolean, passive: toBoolean, signal: toAny })(
          value,
        );

  // ---- interfaces

  // Each: [constructor or null, read-only attributes, writable ones, methods, constants].
  // Arguments: a list of conversions; how many must be given comes first.
  const define = (name, base, { make, read = [], write = {}, methods = {}, constants = [] }) => {
    const Interface = {
      [name]: class extends (base ?? Object) {
        constructor(...args) {
          if (base === null) super();
          else super(building);
          if (args[0] === building) return;
          if (make === undefined) throw new TypeError("Illegal constructor");
          adopt(this, call("make", name, ...convert(make, args)));
        }
      },
    }[name];
    const prototype = Interface.prototype;
    const property = (key, get, set) =>
      Object.defineProperty(prototype, key, { get, set, enumerable: true, configurable: true });
    for (const key of read)
      property(key, function () {
        return call("get", own(this), key);
      });
    for (const [key, conversion] of Object.entries(write))
      property(
        key,
        function () {
          return call("get", own(this), key);
        },
        function (value) {
          call("set", own(this), key, conversion(value));
        },
      );
    for (const [key, signature] of Object.entries(methods))
      Object.defineProperty(prototype, key, {
        value: {
          [key](...args) {
            // What returns nothing in Python returns undefined.
            return call("call", own(this), key, ...convert(signature, args)) ?? undefined;
          },
        }[key],
        enumerable: true,
        configurable: true,
        writable: true,
      });
    for (const key of constants)
      for (const target of [Interface, prototype])
        Object.defineProperty(target, key, { value: call("constant", name, key), enumerable: true });
    Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
    Object.defineProperty(Interface, "length", { value: make?.[0] ?? 0, configurable: true });
    Object.defineProperty(global, name, { value: Interface, writable: true, configurable: true });
    classes.set(name, Interface);
    return Interface;
  };
  const building = Symbol("building");
  const own = (value) => {
    if (!handles.has(value)) throw new TypeError("Illegal invocation");
    return value;
  };
  const convert = ([required, ...conversions], args) => {
    if (args.length < required) throw new TypeError("too few arguments");
    const converted = conversions.map((conversion, index) =>
      index < required || args[index] !== undefined ? conversion(args[index]) : undefined,
    );
    while (converted.length && converted.at(-1) === undefined) converted.pop();
    return converted;
  };

  classes.set("object", class {});
  const EventTarget = define("EventTarget", null, {
    make: [0],
    methods: {
      addEventListener: [2, toText, toCallback, listenerOptions],
      removeEventListener: [2, toText, toCallback, listenerOptions],
      dispatchEvent: [1, toObject],
    },
  });
  const eventInit = { bubbles: toBoolean, cancelable: toBoolean, composed: toBoolean };
  const Event = define("Event", null, {
    make: [1, toText, dictionary(eventInit)],
    read: [
      "type", "target", "srcElement", "currentTarget", "eventPhase", "bubbles", "cancelable",
      "defaultPrevented", "composed", "isTrusted", "timeStamp",
    ],
    write: { cancelBubble: toBoolean, returnValue: toBoolean },
    methods: {
      composedPath: [0], stopPropagation: [0], stopImmediatePropagation: [0], preventDefault: [0],
      initEvent: [1, toText, toBoolean, toBoolean],
    },
    constants: ["NONE", "CAPTURING_PHASE", "AT_TARGET", "BUBBLING_PHASE"],
  });
  define("MessageEvent", Event, {
    make: [
      1, toText,
      dictionary({ ...eventInit, data: toAny, origin: toText, lastEventId: toText, source: toAny }),
    ],
    read: ["data", "origin", "lastEventId", "source", "ports"],
  });
  const clamp = (value) => toNumber(value) & 0xffff;
  define("CloseEvent", Event, {
    make: [1, toText, dictionary({ ...eventInit, wasClean: toBoolean, code: clamp, reason: toText })],
    read: ["wasClean", "code", "reason"],
  });
  const Blob = define("Blob", null, {
    make: [
      0,
      (parts) => Array.from(parts, (part) => toData(part)),
      dictionary({ type: toText, endings: toText }),
    ],
    read: ["size", "type"],
    methods: {
      arrayBuffer: [0], text: [0], bytes: [0], slice: [0, toNumber, toNumber, toText],
    },
  });
  const legacy =
    "INDEX_SIZE DOMSTRING_SIZE HIERARCHY_REQUEST WRONG_DOCUMENT INVALID_CHARACTER NO_DATA_ALLOWED " +
    "NO_MODIFICATION_ALLOWED NOT_FOUND NOT_SUPPORTED INUSE_ATTRIBUTE INVALID_STATE SYNTAX " +
    "INVALID_MODIFICATION NAMESPACE INVALID_ACCESS VALIDATION TYPE_MISMATCH SECURITY NETWORK ABORT " +
    "URL_MISMATCH QUOTA_EXCEEDED TIMEOUT INVALID_NODE_TYPE DATA_CLONE";
  const DOMException = define("DOMException", null, {
    make: [0, toText, toText],
    read: ["name", "message", "code"],
    constants: legacy.split(" ").map((name) => `${name}_ERR`),
  });
  Object.setPrototypeOf(DOMException.prototype, Error.prototype);
  const AbortSignal = define("AbortSignal", EventTarget, {
    read: ["aborted", "reason"],
    write: { onabort: toHandler },
    methods: { throwIfAborted: [0] },
  });
  define("AbortController", null, {
    make: [0],
    read: ["signal"],
    methods: { abort: [0, toAny] },
  });
  define("WebSocket", EventTarget, {
    make: [1, toUrl, toProtocols],
    read: ["url", "readyState", "bufferedAmount", "extensions", "protocol"],
    write: {
      binaryType: toText, onopen: toHandler, onerror: toHandler, onclose: toHandler,
      onmessage: toHandler,
    },
    methods: { send: [1, toData], close: [0, toNumber, toText] },
    constants: ["CONNECTING", "OPEN", "CLOSING", "CLOSED"],
  });
  define("WebSocketError", DOMException, {
    make: [0, toText, closeInfo],
    read: ["closeCode", "reason"],
  });
  define("WebSocketStream", null, {
    make: [1, toUrl, dictionary({ protocols: toSequence, signal: toObject })],
    read: ["url", "opened", "closed"],
    methods: { close: [0, closeInfo] },
  });
  define("ReadableStream", null, {
    read: ["locked"],
    methods: { getReader: [0], cancel: [0, toAny] },
  });
  define("ReadableStreamDefaultReader", null, {
    read: ["closed"],
    methods: { read: [0], cancel: [0, toAny], releaseLock: [0] },
  });
  define("WritableStream", null, {
    read: ["locked"],
    methods: { getWriter: [0], close: [0], abort: [0, toAny] },
  });
  const Writer = define("WritableStreamDefaultWriter", null, {
    read: ["closed", "ready", "desiredSize"],
    methods: { write: [0, toAny], close: [0], abort: [0, toAny], releaseLock: [0] },
  });
  const write = Writer.prototype.write;
  Writer.prototype.write = function (chunk) {
    try {
      return write.call(this, toData(chunk));
    } catch (error) {
      return Promise.reject(error);
    }
  };
  const fromBlob = Blob.prototype.arrayBuffer;
  Blob.prototype.arrayBuffer = function () {
    return fromBlob.call(this).then((octets) => octets.buffer);
  };
  // bytes are an ArrayBuffer in a message, and a Uint8Array in a stream.
  const { get: data } = Object.getOwnPropertyDescriptor(MessageEvent.prototype, "data");
  const buffers = new WeakMap();
  Object.defineProperty(MessageEvent.prototype, "data", {
    get() {
      if (!buffers.has(this)) {
        const value = data.call(this);
        buffers.set(this, value instanceof Uint8Array ? value.buffer : value);
      }
      return buffers.get(this);
    },
    enumerable: true,
    configurable: true,
  });

  // ---- the rest of what tests use of a page

  const listeners = {};
  global.self = global.window = global;
  Object.defineProperty(global, Symbol.toStringTag, { value: "Window", configurable: true });
  global.addEventListener = (type, listener) => (listeners[type] ??= []).push(listener);
  global.removeEventListener = (type, listener) => {
    listeners[type] = (listeners[type] ?? []).filter((other) => other !== listener);
  };
  const fire = (type, event) => {
    for (const listener of listeners[type] ?? []) listener.call(global, event);
  };
  const reportError = (error) => {
    const message = `Uncaught ${error}`;
    if (typeof global.onerror === "function" && global.onerror(message, "", 0, 0, error)) return;
    fire("error", { type: "error", message, filename: "", lineno: 0, colno: 0, error, preventDefault() {} });
  };
  global.reportError = reportError;

  const timers = new Map();
  global.setTimeout = (func, delay = 0, ...args) => {
    const number = call("timer", delay);
    timers.set(number, () => func(...args));
    return number;
  };
  global.setInterval = (func, delay = 0, ...args) => {
    const again = () => {
      timers.set(call("timer", delay, number), again);
      func(...args);
    };
    const number = call("timer", delay);
    timers.set(number, again);
    return number;
  };
  global.clearTimeout = global.clearInterval = (number) => {
    timers.delete(number);
  };
  global.__timer = (number) => {
    const func = timers.get(number);
    timers.delete(number);
    try {
      func?.();
    } catch (error) {
      reportError(error);
    }
  };
  global.queueMicrotask ??= (func) => void Promise.resolve().then(func);
  global.performance = { now: () => call("now") };
  global.console = { log: (...args) => call("log", args.map(String).join(" ")) };
  for (const level of ["error", "warn", "info", "debug"]) global.console[level] = global.console.log;
  global.TextEncoder = class {
    encode(text = "") {
      const found = [];
      for (const char of String(text).replace(surrogates, "\uFFFD")) {
        const code = char.codePointAt(0);
        if (code < 0x80) found.push(code);
        else if (code < 0x800) found.push(0xc0 | (code >> 6), 0x80 | (code & 63));
        else if (code < 0x10000)
          found.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
        else
          found.push(
            0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63),
            0x80 | (code & 63),
          );
      }
      return new Uint8Array(found);
    }
  };
  global.URLSearchParams = class {
    #pairs;
    constructor(text = "") {
      const parts = text.replace(/^\?/, "").split("&").filter(Boolean);
      this.#pairs = parts.map((part) => {
        const [name, ...value] = part.split("=");
        return [decodeURIComponent(name), decodeURIComponent(value.join("="))];
      });
    }
    get(name) {
      return this.getAll(name)[0] ?? null;
    }
    getAll(name) {
      return this.#pairs.filter(([other]) => other === name).map(([, value]) => value);
    }
    has(name) {
      return this.getAll(name).length > 0;
    }
  };
  global.URL = class {
    constructor(url, base) {
      Object.assign(this, call("url", String(url), base === undefined ? undefined : String(base)));
    }
    get protocol() {
      return `${this.scheme}:`;
    }
    set protocol(value) {
      this.scheme = String(value).replace(/:$/, "");
    }
    get href() {
      return `${this.protocol}//${this.host}${this.pathname}${this.search}${this.hash}`;
    }
    get origin() {
      return `${this.protocol}//${this.host}`;
    }
    toString() {
      return this.href;
    }
  };
  global.location = new global.URL(call("location"));

  // The harness takes a page with a document for a window, so this comes after it.
  const createEvent = (kind) => {
    const event = new Event("");
    if (kind === "UIEvents")
      event.initUIEvent = (type, bubbles, cancelable, view, detail) => {
        event.initEvent(type, bubbles, cancelable);
        Object.assign(event, { view, detail });
      };
    return event;
  };
  const createLink = () => {
    const link = { href: "", toString: () => link.href };
    return link;
  };
  global.__add_document = () => {
    global.document = {
      title: "",
      getElementsByTagName: () => [],
      getElementById: () => null,
      body: { [Symbol.toStringTag]: "HTMLBodyElement" },
      createEvent,
      createElement(name) {
        if (name !== "a") throw new Error(`no ${name} elements here`);
        return createLink();
      },
      get cookie() {
        return call("get_cookies");
      },
      set cookie(text) {
        call("set_cookie", String(text));
      },
    };
  };
  global.importScripts = (...names) => {
    for (const name of names) call("import", name);
  };
})();
