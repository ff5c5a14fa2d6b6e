// The demo's page. Whatever comes from others is put on it as text, never as HTML.
import { Client } from "./client.js";

const byId = (id) => document.getElementById(id);
const [room, join, leave, message, send, log] = ["room", "join", "leave", "message", "send", "log"].map(byId);
const { path, transports } = document.body.dataset;
const offered = transports.split(" ");
const choice = byId("transport");
for (const option of [...choice.options]) if (!option.value.split(" ").some((kind) => offered.includes(kind))) option.remove();
const chosen = () => choice.value.split(" ").filter((kind) => offered.includes(kind));

const MOST_LINES = 500;
const ANIMALS = ["otter", "heron", "lynx", "raven", "seal", "bear", "eagle", "beaver", "orca", "marten"];
const COLOURS = ["amber", "coral", "silver", "jade", "scarlet", "indigo", "copper", "ivory", "teal", "olive"];
const oneOf = (words) => words[Math.floor(Math.random() * words.length)];

let name = sessionStorage.getItem("name") ?? `${oneOf(COLOURS)}-${oneOf(ANIMALS)}`;
let id = "";
let current = "";
// The room to be in as soon as there is a connection; an address like `/#lobby` names it from the beginning.
let wanted = "";
let countdown = 0;
let recount = 0;
let typedAt = 0;
let quiet = 0;

// === what is shown ===

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function append(line) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(line);
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  if (atEnd || line.classList.contains("mine")) log.scrollTop = log.scrollHeight;
}

const notice = (text, bad = false) => append(element("li", bad ? "notice bad" : "notice", text));

function bubble(className, { name, node, at, text, id }) {
  const line = element("li", className);
  const meta = element("p", "meta");
  const who = element("span", "who", name);
  // The same client has the same colour on every page.
  let hue = 7;
  for (const character of String(id ?? name)) hue = (hue * 31 + character.codePointAt(0)) % 360;
  who.style.setProperty("--hue", hue);
  const time = element("time", "", new Date(at).toLocaleTimeString());
  meta.append(who, ...(node ? [element("span", "", `on ${node}`)] : []), time);
  line.append(meta, element("p", "text", text));
  append(line);
  return line;
}

const milliseconds = (since) => {
  const passed = performance.now() - since;
  return `${passed < 10 ? passed.toFixed(1) : Math.round(passed)} ms`;
};
const members = (count) => (count === 1 ? "1 member" : `${count} members`);

function usable() {
  const able = client.connected && current !== "";
  message.disabled = send.disabled = !able;
  message.placeholder = able ? `Say something in ${current}` : current ? "Waiting for the connection" : "Join a room first";
  leave.hidden = current === "";
  join.disabled = !client.connected;
}

// === the connection ===

function onState({ state, transport, attempt, delay, reason, id: own }) {
  document.body.dataset.state = state;
  clearInterval(countdown);
  const status = byId("status");
  switch (state) {
    case "connecting":
      status.textContent = "connecting";
      break;
    case "connected":
      status.textContent = "connected";
      id = own;
      byId("by").textContent = transport === "polling" ? "long-polling" : "WebSocket";
      if (wanted) enter(wanted);
      break;
    case "waiting": {
      if (attempt === 1) notice(`Not connected: ${reason}.`, true);
      let left = Math.ceil(delay / 1000);
      const show = () => { status.textContent = `reconnecting in ${left--} s`; };
      show();
      countdown = setInterval(() => left > 0 && show(), 1000);
      break;
    }
    case "closed":
      status.textContent = "disconnected";
      if (reason) notice(`Disconnected: ${reason}.`, true);
      break;
  }
  if (state !== "connected") for (const fact of ["node", "members", "nodes", "by", "latency"]) byId(fact).textContent = "–";
  usable();
}

function onEvent(event, args, ack) {
  const [data] = args;
  switch (event) {
    case "welcome":
      byId("node").textContent = data.node;
      return;
    case "message":
      ack(byId("node").textContent);
      hush();
      said(data);
      return;
    case "presence":
      notice(`${data.name} ${data.here ? "joined" : "left"} on ${data.node}`);
      clearTimeout(recount);
      recount = setTimeout(count, 100);
      return;
    case "typing":
      byId("typing").textContent = `${data.name} is typing …`;
      clearTimeout(quiet);
      quiet = setTimeout(hush, 3000);
      return;
    default:
      bubble("event", { name: event, at: Date.now(), text: args.map((arg) => JSON.stringify(arg)).join(" ") });
  }
}

/** A message of another client, or of a worker, which may look like anything. */
function said(data) {
  const plain = typeof data === "object" && data !== null ? data : { text: data };
  const text = typeof plain.text === "string" ? plain.text : JSON.stringify(data);
  const from = typeof plain.name === "string" ? plain.name : "a worker";
  const node = typeof plain.node === "string" ? plain.node : "";
  bubble("theirs", { id: plain.id, name: from, node, at: typeof plain.at === "number" ? plain.at : Date.now(), text });
}

function hush() {
  clearTimeout(quiet);
  byId("typing").textContent = "";
}

const client = new Client({
  url: new URL(path, location.href).href,
  transports: chosen(),
  auth: () => ({ name }),
  onState,
  onEvent,
});

// === what one can do ===

function counted({ members, nodes }) {
  byId("members").textContent = members;
  byId("nodes").textContent = nodes;
}

async function count() {
  if (!client.connected || !current) return;
  const since = performance.now();
  try {
    counted(await client.request("members", current));
    byId("latency").textContent = milliseconds(since);
  } catch {
    // The next one will tell; a lost connection is shown elsewhere.
  }
}

async function enter(name) {
  const since = performance.now();
  wanted = name;
  try {
    const here = await client.request("join", name);
    if (wanted !== name) return client.emit("leave", name);
    if (current && current !== name) client.emit("leave", current);
    if (current !== name) notice(`You joined ${name} on ${here.node}: ${members(here.members)}.`);
    else notice(`You are back in ${name} on ${here.node}.`);
    current = name;
    history.replaceState(null, "", `#${encodeURIComponent(name)}`);
    byId("example-room").textContent = name;
    byId("latency").textContent = milliseconds(since);
    counted(here);
    usable();
    message.focus();
  } catch (error) {
    // Without a connection there is another attempt with the next one.
    if (!client.connected) return;
    if (wanted === name) wanted = current;
    notice(`You are not in ${name}: ${error.message}.`, true);
  }
}

async function say(text) {
  const line = bubble("mine", { id, name, node: byId("node").textContent, at: Date.now(), text });
  const receipt = element("p", "receipt", "sending …");
  line.append(receipt);
  const since = performance.now();
  try {
    const { delivered, missing, missing_nodes: nodes } = await client.request("send", { room: current, text });
    const short = [...(missing ? [`${missing} did not confirm`] : []), ...nodes.map((node) => `node ${node} did not answer`)];
    const heard = delivered === 0 && short.length === 0 ? "nobody else is here" : `delivered to ${delivered}`;
    receipt.textContent = [heard, ...short, `ack after ${milliseconds(since)}`].join(" · ");
    receipt.classList.add(short.length === 0 ? "good" : "bad");
  } catch (error) {
    receipt.textContent = `not confirmed: ${error.message}`;
    receipt.classList.add("bad");
  }
  log.scrollTop = log.scrollHeight;
}

const onSubmit = (form, action) => byId(form).addEventListener("submit", (event) => {
  event.preventDefault();
  action();
});
onSubmit("room-form", () => room.value.trim() && enter(room.value.trim()));
onSubmit("message-form", () => {
  const text = message.value.trim();
  if (!text || message.disabled) return;
  message.value = "";
  typedAt = 0;
  say(text);
});
onSubmit("name-form", () => byId("name").blur());

leave.addEventListener("click", () => {
  client.emit("leave", current);
  notice(`You left ${current}.`);
  current = wanted = "";
  history.replaceState(null, "", location.pathname);
  byId("members").textContent = "–";
  usable();
  room.focus();
});

message.addEventListener("input", () => {
  if (Date.now() - typedAt < 2000) return;
  typedAt = Date.now();
  client.emit("typing", current);
});

byId("name").addEventListener("change", async ({ target }) => {
  try {
    if (client.connected) name = await client.request("name", target.value);
    else name = target.value.trim() || name;
    sessionStorage.setItem("name", name);
  } catch (error) {
    notice(`The name stays ${name}: ${error.message}.`, true);
  }
  target.value = name;
});

choice.addEventListener("change", () => client.use(chosen()));

// === begin ===

sessionStorage.setItem("name", name);
byId("name").value = name;
if (location.hash.length > 1) {
  room.value = wanted = decodeURIComponent(location.hash.slice(1));
}
setInterval(() => document.hidden || count(), 5000);
window.addEventListener("online", () => client.open());
window.addEventListener("pagehide", () => client.close());
window.addEventListener("pageshow", ({ persisted }) => persisted && client.open());
client.open();
