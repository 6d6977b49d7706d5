// What pages cannot do without JavaScript: times in the viewer's zone, counting up and down, copying, and following what
// happens. Pages work without all of it.
"use strict";

// The viewer's clock may be wrong; ages and countdowns go by the server's.
let ahead = 0;
function readClock(doc) {
  const now = Date.parse(doc.documentElement.dataset.now);
  if (!Number.isNaN(now)) ahead = Date.now() - now;
}

const thisYear = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" };
const exactly = { dateStyle: "full", timeStyle: "long" };

function length(ms) {
  const s = Math.floor(ms / 1000);
  const two = (a, name, b, small) => a + " " + name + (b ? " " + b + " " + small : "");
  if (s < 60) return s + " s";
  if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s / 60) % 60, "min");
  return two(Math.floor(s / 86400), "d", Math.floor(s / 3600) % 24, "h");
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showTimes() {
  const now = Date.now() - ahead;
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(element.dateTime);
    if (Number.isNaN(at)) continue;
    if ("until" in element.dataset) {
      setText(element, at > now ? "in " + length(at - now + 999) : "now");
    } else if ("since" in element.dataset) {
      setText(element, length(Math.max(0, now - at)) + " ago");
    } else if (!("after" in element.dataset)) {
      const date = new Date(at);
      const far = date.getFullYear() !== new Date(now).getFullYear();
      setText(element, date.toLocaleString(undefined, far ? { ...thisYear, year: "numeric" } : thisYear));
    }
    const title = new Date(at).toLocaleString(undefined, exactly) + "\n" + element.dateTime;
    if (element.title !== title) element.title = title;
  }
}

function showCopies() {
  if (!navigator.clipboard) return;
  for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

readClock(document);
showTimes();
showCopies();
setInterval(showTimes, 1000);

// sync makes an element like a new one from the server, in place, so that focus, what was typed, selected, scrolled and
// opened stays. Elements with an id are told apart by it; those with data-keep stay as they are.
function sync(old, now) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  if ("keep" in old.dataset && "keep" in now.dataset) return;
  if (old.localName === "time" && old.dateTime === now.dateTime) return; // its text is the viewer's
  syncAttributes(old, now);
  syncChildren(old, now);
}

// Attributes that belong to the viewer, or to this script.
function viewers(element, name) {
  return name === "open" && element.localName === "details" || name === "hidden" && "copy" in element.dataset;
}

function syncAttributes(old, now) {
  for (const { name, value } of now.attributes) {
    if (!viewers(old, name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!viewers(old, name) && !now.hasAttribute(name)) old.removeAttribute(name);
  }
}

function syncChildren(old, now) {
  const named = new Map();
  for (const child of old.children) if (child.id) named.set(child.id, child);
  let at = old.firstChild;
  for (const child of [...now.childNodes]) {
    const match = child.id ? named.get(child.id) : like(at, child);
    if (!match || match.localName !== child.localName) {
      old.insertBefore(document.importNode(child, true), at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else old.insertBefore(match, at);
    sync(match, child);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// like finds the next sibling, from an element on, that may become the new one.
function like(at, child) {
  for (; at; at = at.nextSibling) if (at.nodeName === child.nodeName && !at.id) return at;
  return null;
}

// follow keeps the page as the server would make it now. The server says when; where it does not, the page asks every 2 s.
function follow(topic) {
  const state = document.getElementById("live");
  let source = null, polling = 0, retry = 0, busy = false, again = false;

  function say(kind, text) {
    if (!state) return;
    state.className = "live " + kind;
    setText(state, text);
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = page.getElementById("main");
      if (!main) throw new Error("no page of ours");
      document.title = page.title;
      readClock(page);
      sync(document.getElementById("main"), main);
      showTimes();
      showCopies();
      if (polling) say("slow", "every 2 s");
      else say("on", "live");
    } catch {
      say("away", "server does not answer");
    }
    busy = false;
    if (again) { again = false; refresh(); }
  }

  function stop() {
    if (source) source.close();
    clearInterval(polling);
    clearTimeout(retry);
    source = null;
    polling = retry = 0;
  }

  function start() {
    stop();
    source = new EventSource("/live?watch=" + encodeURIComponent(topic));
    source.addEventListener("changed", () => {
      clearInterval(polling);
      polling = 0;
      setTimeout(refresh, Math.random() * 100); // not all pages in the same moment
    });
    source.onerror = () => {
      if (!polling) polling = setInterval(refresh, 2000);
      if (source && source.readyState === EventSource.CLOSED) retry = setTimeout(start, 30000); // else it tries itself
    };
  }

  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); else start(); });
  if (!document.hidden) start();
}

const topic = document.getElementById("main").dataset.live;
if (topic) follow(topic);
