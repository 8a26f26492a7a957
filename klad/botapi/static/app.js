// The web chat: its state, how it is drawn, and what the person does.

import { el, icon, words } from "./words.js";
import { Wire, api } from "./wire.js";

const LIMIT = 4096; // UTF-16 units of one message, as JavaScript counts length
const EXAMPLES = [
  ["Start something long", "$ for i in 1 2 3; do echo step $i; sleep 20; done"],
  ["Ask while it runs", "what did step 2 print?"],
  ["Stop it", "stop"],
];
const TYPING_MS = 6000; // Telegram shows an action for 5 s; senders repeat it about as often

const $ = (id) => document.getElementById(id);
const chats = new Map(); // id → {id, title, last, messages: Map, waiting: [], more, loaded, unread, typing}
let bot = { first_name: "Klåd" };
let commands = [];
let current = 0;
let replyTo = null;
let online = false;
let paused = false; // the stream was ended for a newer window, until this one is used again
let pinned = true; // the newest message is in view, and stays so when the window changes
let below = 0; // messages that came while the reader was further up

const oneLine = (m) => m.text.slice(0, 200).replace(/\s+/g, " ");
const who = (m) => (m.from.is_bot ? m.from.first_name : "You");
const clock = (date) => new Date(date * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function day(date, long) {
  const then = new Date(date * 1000);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(then).setHours(0, 0, 0, 0)) / 864e5);
  if (days === 0) return long ? "Today" : clock(date);
  if (days === 1) return "Yesterday";
  return then.toLocaleDateString([], long ? { day: "numeric", month: "long", year: "numeric" } : { day: "numeric", month: "short" });
}

// ---- drawing

const joins = (message, before) => Boolean(before
  && before.from.is_bot === message.from.is_bot && message.date - before.date < 300);

function row(message, before) {
  const mine = !message.from.is_bot;
  const classes = ["row", mine && "mine", joins(message, before) && "joined", message.state];
  const target = message.reply_to_message;
  const time = message.state === "sending" ? "sending" : clock(message.date);
  const corner = message.edit_date ? `edited ${time}` : time;
  const bubble = el("div", { class: "bubble" },
    target && el("button", { class: "target", type: "button", onclick: () => reveal(target.message_id) },
      el("b", {}, who(target)), el("span", {}, oneLine(target))),
    words(message, corner, fill),
    el("span", { class: "meta" }, corner));
  const node = el("div", { class: classes.filter(Boolean).join(" ") }, bubble);
  if (message.message_id) {
    node.dataset.id = message.message_id;
    node.append(el("button", { class: "round reply", "aria-label": "Reply", title: "Reply", type: "button", onclick: () => quote(message) },
      icon("M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6")));
  }
  return node;
}

// What stands in the log, by key. A node stays the same one while what it shows does, so that a
// selection, or how far a code block is scrolled, outlives what comes in.
let drawn = new Map(); // key → {node, message, joined, state}
let drawnChat = 0;

function same(known, message, joined) {
  return known && known.joined === joined && known.state === message.state
    && (known.message === message || JSON.stringify(known.message) === JSON.stringify(message));
}

function place(log, nodes) {
  const wanted = new Set(nodes);
  for (const node of [...log.childNodes]) if (!wanted.has(node)) node.remove();
  let at = log.firstChild;
  for (const node of nodes) {
    if (node === at) at = at.nextSibling;
    else log.insertBefore(node, at);
  }
}

function draw(stick = atEnd()) {
  const chat = chats.get(current);
  if (!chat) return;
  $("title").textContent = chat.title;
  const log = $("log");
  const old = drawnChat === current ? drawn : new Map();
  const next = new Map();
  const keep = (key, make, message = {}, joined = false) => {
    const known = old.get(key);
    next.set(key, same(known, message, joined) ? known : { node: make(), message, joined, state: message.state });
  };
  if (chat.more) keep("older", () => el("button", { id: "older", type: "button", onclick: () => wire.enqueue(() => older(chat)) }, "Earlier messages"));
  let before = null;
  for (const message of [...chat.messages.values(), ...chat.waiting]) {
    const key = message.message_id ?? message.nonce;
    if (!before || day(before.date, true) !== day(message.date, true)) {
      const text = day(message.date, true);
      keep(`day ${text} ${key}`, () => el("div", { class: "day" }, text));
      before = null;
    }
    keep(key, () => row(message, before), message, joins(message, before));
    if (message.state === "failed") keep(`trouble ${key}`, () => el("div", { class: "trouble" }, message.reason,
      el("button", { type: "button", onclick: () => transmit(chat, message) }, "Try again"),
      el("button", { type: "button", onclick: () => { drop(chat, message); draw(); } }, "Discard")), message);
    before = message;
  }
  if (chat.typing) keep("typing", () => el("div", { class: "row typing" }, el("div", { class: "bubble", "aria-label": "typing" }, el("i"), el("i"), el("i"))));
  place(log, [...next.values()].map(({ node }) => node));
  [drawn, drawnChat] = [next, current];
  const empty = chat.loaded && chat.messages.size === 0 && chat.waiting.length === 0;
  $("welcome").hidden = !empty;
  log.hidden = empty;
  drawHints(chat, empty);
  drawStatus();
  if (stick) toEnd();
}

function drawStatus() {
  const chat = chats.get(current);
  const typing = online && chat?.typing;
  $("status").textContent = !online ? (paused ? "paused: too many windows are open" : "connecting…") : typing ? "typing…" : "on this machine";
  $("status").classList.toggle("busy", Boolean(typing) || !online);
}

function drawChats() {
  const newest = (c) => c.last?.date ?? 0;
  const sorted = [...chats.values()].sort((a, b) => newest(b) - newest(a) || a.id - b.id);
  $("chats").replaceChildren(...sorted.map((chat) => el("li", {}, el("button",
    { type: "button", "aria-current": String(chat.id === current), onclick: () => { show(chat.id); document.body.classList.remove("listing"); } },
    el("span", { class: chat.main ? "face" : `face c${1 + (chat.id % 5)}`, "aria-hidden": "true" }, [...chat.title][0] ?? "?"),
    el("span", { class: "title" }, chat.title),
    el("time", {}, chat.last ? day(chat.last.date, false) : ""),
    el("span", { class: chat.typing ? "last busy" : "last" },
      chat.typing ? "typing…" : chat.last ? (chat.last.from.is_bot ? "" : "You: ") + oneLine(chat.last) : "No messages yet"),
    chat.unread ? el("span", { class: "unread" }, String(chat.unread)) : null))));
  const unread = [...chats.values()].reduce((sum, chat) => sum + chat.unread, 0);
  document.title = (unread ? `(${unread}) ` : "") + bot.first_name;
  $("name").textContent = bot.first_name;
}

// The examples stay at hand above the message box until each was used, or they are put away.
const used = new Set(JSON.parse(localStorage.getItem("klad.examples") ?? "[]"));
function use(index) {
  used.add(index);
  localStorage.setItem("klad.examples", JSON.stringify([...used]));
}

function drawHints(chat, empty) {
  const left = EXAMPLES.map((example, index) => [index, ...example]).filter(([index]) => !used.has(index));
  $("hints").hidden = empty || left.length === 0 || used.size === 0;
  $("hints").replaceChildren(el("span", {}, "Try"),
    ...left.map(([, title, text]) => el("button", { class: "hint", type: "button", title, onclick: () => submit(text) }, text)),
    el("button", { class: "round", type: "button", "aria-label": "Put the examples away", onclick: () => { EXAMPLES.forEach((_, i) => use(i)); draw(); } }, icon("M6 6l12 12M18 6L6 18")));
  $("examples").replaceChildren(...EXAMPLES.map(([title, text]) => el("li", {},
    el("button", { type: "button", onclick: () => submit(text) }, el("b", {}, title), el("code", {}, text)))));
}

const atEnd = () => { const s = $("scroll"); return s.scrollHeight - s.scrollTop - s.clientHeight < 80; };
function toEnd() { const s = $("scroll"); s.scrollTop = s.scrollHeight; below = 0; drawDown(); }
function drawDown() {
  const end = pinned = atEnd();
  if (end) below = 0;
  $("down").hidden = end;
  $("below").textContent = below ? String(below) : "";
  $("below").className = below ? "unread" : "";
}

function reveal(id) {
  const node = document.querySelector(`[data-id="${Number(id)}"]`);
  if (!node) return;
  node.scrollIntoView({ block: "center", behavior: "smooth" });
  node.classList.remove("flash");
  requestAnimationFrame(() => node.classList.add("flash"));
}

// ---- the chats' state

function entry(given) {
  const known = chats.get(given.id) ?? { messages: new Map(), waiting: [], more: false, loaded: false, unread: 0, typing: 0 };
  Object.assign(known, given);
  chats.set(given.id, known);
  return known;
}

function quiet(chat) { clearTimeout(chat.typing); chat.typing = 0; }
function drop(chat, message) { chat.waiting = chat.waiting.filter((other) => other !== message); }

function take(chat, message, nonce) {
  if (nonce) chat.waiting = chat.waiting.filter((other) => other.nonce !== nonce);
  if (chat.loaded) chat.messages.set(message.message_id, message);
  if (!chat.last || message.message_id >= chat.last.message_id) chat.last = message;
}

async function load(chat) {
  const { messages, more } = await api(`/api/chats/${chat.id}/messages`);
  chat.messages = new Map(messages.map((m) => [m.message_id, m]));
  Object.assign(chat, { more, loaded: true });
  if (chat.id === current) draw(true);
}

async function older(chat) {
  const first = chat.messages.keys().next().value;
  const { messages, more } = await api(`/api/chats/${chat.id}/messages?before=${first}`);
  chat.messages = new Map([...messages.map((m) => [m.message_id, m]), ...chat.messages]);
  chat.more = more;
  const before = $("scroll").scrollHeight - $("scroll").scrollTop;
  draw(false);
  $("scroll").scrollTop = $("scroll").scrollHeight - before;
}

async function reload() {
  const all = await api("/api/chats");
  ({ bot, commands } = all);
  for (const chat of all.chats) Object.assign(entry(chat), { loaded: false, main: chat.id === all.owner.id });
  if (!chats.has(current)) {
    current = chats.has(Number(location.hash.slice(1))) ? Number(location.hash.slice(1)) : all.chats[0].id;
    if ($("text").value) keepDraft(); else restoreDraft(); // something may be typed already
  }
  await load(chats.get(current));
  drawChats();
}

function show(id) {
  const moved = id !== current;
  if (moved) unquote();
  current = id;
  if (moved) restoreDraft();
  history.replaceState(null, "", `#${id}`);
  const chat = chats.get(id);
  chat.unread = 0;
  drawChats();
  draw(true);
  if (!chat.loaded) wire.enqueue(() => load(chat));
  if (matchMedia("(hover: hover)").matches) $("text").focus();
}

// ---- what happens

const HANDLERS = {
  hello: async ({ resumed }) => { if (!resumed) await reload(); online = true; draw(); resend(); },
  message: ({ message, nonce }) => {
    const chat = chats.get(message.chat.id);
    if (!chat) return;
    const stick = atEnd() || chat.waiting.some((other) => other.nonce === nonce);
    const news = !chat.messages.has(message.message_id);
    if (message.from.is_bot) quiet(chat);
    take(chat, message, nonce);
    if (message.from.is_bot && (chat.id !== current || document.hidden)) chat.unread++;
    if (chat.id === current) {
      if (!stick && news) below++;
      draw(stick);
      drawDown();
    }
    drawChats();
  },
  edit: ({ message }) => {
    const chat = chats.get(message.chat.id);
    if (chat?.messages.has(message.message_id)) chat.messages.set(message.message_id, message);
    if (chat?.last?.message_id === message.message_id) chat.last = message;
    draw();
    drawChats();
  },
  delete: ({ chat: id, message_id }) => {
    const chat = chats.get(id);
    if (!chat) return;
    chat.messages.delete(message_id);
    if (chat.last?.message_id === message_id) chat.last = [...chat.messages.values()].at(-1) ?? null;
    draw();
    drawChats();
  },
  typing: ({ chat: id }) => {
    const chat = chats.get(id);
    if (!chat) return;
    const news = !chat.typing;
    clearTimeout(chat.typing);
    chat.typing = setTimeout(() => { quiet(chat); draw(); drawChats(); }, TYPING_MS);
    if (news) { draw(); drawChats(); }
  },
  chat: ({ chat }) => { if (!chats.has(chat.id)) entry({ ...chat }); drawChats(); },
  commands: (given) => { commands = given.commands; },
};

const wire = new Wire(HANDLERS, (ended) => {
  online = false;
  paused = ended;
  for (const chat of chats.values()) quiet(chat);
  draw();
  drawChats();
});

// ---- sending

function submit(text) {
  const chat = chats.get(current);
  text = text.trim();
  if (!chat || !text || text.length > LIMIT) return;
  const message = {
    nonce: crypto.randomUUID(), text, date: Date.now() / 1000, from: { is_bot: false }, reply_to_message: replyTo ?? undefined,
  };
  chat.waiting.push(message);
  const plain = (words) => words.toLowerCase().replace(/\s+/g, " ");
  EXAMPLES.forEach(([, example], index) => { if (plain(example) === plain(text)) use(index); });
  unquote();
  transmit(chat, message);
}

// What could not be sent goes out once the server is back, in its order; the nonce makes each one message.
async function resend() {
  for (const chat of chats.values()) {
    for (const message of [...chat.waiting]) {
      if (message.state === "failed" && !message.refused) await transmit(chat, message, false);
      if (!online) return;
    }
  }
}

async function transmit(chat, message, stick = true) {
  message.state = "sending";
  draw(stick || atEnd());
  try {
    const body = { text: message.text, nonce: message.nonce, reply_to: message.reply_to_message?.message_id };
    const answer = await api(`/api/chats/${chat.id}/messages`, body);
    wire.enqueue(() => { take(chat, answer.message, message.nonce); draw(); drawChats(); });
  } catch (error) {
    // Trying again is harmless: the server knows a message by its nonce.
    if (!chat.waiting.includes(message)) return; // it had arrived; only the answer got lost
    Object.assign(message, { state: "failed", refused: error.told, reason: error.told ? error.message : "Not sent." });
    draw();
  }
}

function quote(message) {
  replyTo = message;
  $("quote-who").textContent = who(message);
  $("quote-text").textContent = oneLine(message);
  $("quote").hidden = false;
  $("text").focus();
}
function unquote() { replyTo = null; $("quote").hidden = true; }

function fill(text) {
  $("text").value = text;
  grow();
  $("text").focus();
}

// What is typed and not sent, for each chat; this tab's own.
const drafts = JSON.parse(sessionStorage.getItem("klad.drafts") ?? "{}");
function keepDraft() {
  if (!current || (drafts[current] ?? "") === $("text").value) return;
  if ($("text").value) drafts[current] = $("text").value; else delete drafts[current];
  try { sessionStorage.setItem("klad.drafts", JSON.stringify(drafts)); } catch { /* too long to be kept */ }
}
function restoreDraft() {
  $("text").value = drafts[current] ?? "";
  grow();
}

function grow() {
  const box = $("text");
  keepDraft();
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
  const length = box.value.trim().length;
  $("count").hidden = length < LIMIT - 500;
  $("count").textContent = `${length} / ${LIMIT}`;
  $("count").classList.toggle("over", length > LIMIT);
  $("send").disabled = length === 0 || length > LIMIT;
  const typed = /^\/(\w*)$/.exec(box.value)?.[1].toLowerCase();
  const fitting = typed === undefined ? [] : commands.filter((c) => c.command.startsWith(typed));
  $("commands").hidden = fitting.length === 0;
  $("commands").replaceChildren(...fitting.map((c) => el("li", {}, el("button",
    { type: "button", onclick: () => { fill(""); submit(`/${c.command}`); } },
    el("b", {}, `/${c.command}`), el("span", {}, c.description)))));
  highlight(Math.max(0, fitting.findIndex((c) => c.command === typed)));
}

let chosen = 0; // of the commands that are offered
function highlight(index) {
  const offered = [...$("commands").querySelectorAll("button")];
  chosen = (index + offered.length) % offered.length;
  offered.forEach((button, i) => button.setAttribute("aria-selected", String(i === chosen)));
  offered[chosen]?.scrollIntoView({ block: "nearest" });
}

// What a key does while commands are offered; false: what it does otherwise.
function choose(event) {
  if ($("commands").hidden) return false;
  const button = $("commands").querySelectorAll("button")[chosen];
  if (event.key === "ArrowDown") highlight(chosen + 1);
  else if (event.key === "ArrowUp") highlight(chosen - 1);
  else if (event.key === "Escape") $("commands").hidden = true; // until something else is typed
  else if (event.key === "Enter" && !event.shiftKey) button.click();
  else if (event.key === "Tab" && !event.shiftKey) fill(`${button.querySelector("b").textContent} `);
  else return false;
  event.preventDefault();
  return true;
}

function post() {
  const text = $("text").value;
  if (!text.trim() || text.trim().length > LIMIT) return;
  fill("");
  submit(text);
}

$("composer").addEventListener("submit", (event) => { event.preventDefault(); post(); });
$("text").addEventListener("input", grow);
$("text").addEventListener("keydown", (event) => {
  if (event.isComposing || choose(event)) return;
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); post(); }
  else if (event.key === "Escape") unquote();
});
$("unquote").addEventListener("click", unquote);
$("down").addEventListener("click", toEnd);
$("scroll").addEventListener("scroll", drawDown, { passive: true });
$("back").addEventListener("click", () => document.body.classList.add("listing"));
$("new").addEventListener("click", async () => {
  try {
    const { chat } = await api("/api/chats", {});
    if (!chats.has(chat.id)) entry({ ...chat });
    document.body.classList.remove("listing");
    show(chat.id);
  } catch (error) { $("status").textContent = error.message; }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  const chat = chats.get(current);
  if (chat?.unread) { chat.unread = 0; drawChats(); }
  wire.hurry();
});
addEventListener("online", () => wire.hurry());
for (const sign of ["focus", "pointerdown", "keydown"]) addEventListener(sign, () => wire.wake());
new ResizeObserver(() => { if (pinned) toEnd(); }).observe($("scroll"));

wire.connect();
