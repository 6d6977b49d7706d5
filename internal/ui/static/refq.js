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
