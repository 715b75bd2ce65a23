// Refreshes what is shown, every so often: asks for the same page, and puts what changed in its place.
// Nothing that reading needs is here.

const seconds = Number(document.body.dataset.refreshS);
const fresh = document.getElementById("fresh");
const pause = document.getElementById("pause");
let headline = document.getElementById("headline")?.textContent;
let paused = false;
let timer;

// What was done is told once, not at every reload.
const here = new URL(location.href);
if (here.searchParams.has("done")) {
  here.searchParams.delete("done");
  history.replaceState(null, "", here);
}

// One sheet at a time; Escape and a click elsewhere close it.
document.addEventListener("toggle", (event) => {
  const opened = event.target;
  if (!opened.matches?.("details.act") || !opened.open) return;
  for (const other of document.querySelectorAll("details.act[open]")) if (other !== opened) other.open = false;
  opened.querySelector("textarea, input:not([type=hidden])")?.focus();
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.act[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.act[open]")) if (!open.contains(event.target)) open.open = false;
});
for (const form of document.querySelectorAll("form[method=post]")) once(form);

if (seconds > 0) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.firstElementChild.textContent = paused ? "Resume" : "Pause";
    if (!paused) refresh();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  timer = setTimeout(refresh, seconds * 1000);
}

async function refresh() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (new URL(answer.url).pathname !== location.pathname) return say("You are signed out: load the page anew.");
    if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    else say(`The service answered ${answer.status}; what is shown may be old.`);
  } catch {
    say("The service cannot be reached; what is shown may be old.");
  }
  timer = setTimeout(refresh, seconds * 1000);
}

function put(next) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = next.getElementById(part.id);
    if (other === null || busy(part) || other.outerHTML === part.outerHTML) continue;
    const places = [...part.querySelectorAll(".scroll")].map((scrolled) => scrolled.scrollLeft);
    part.replaceWith(other);
    other.querySelectorAll(".scroll").forEach((scrolled, number) => { scrolled.scrollLeft = places[number] ?? 0; });
    for (const form of other.querySelectorAll("form[method=post]")) once(form);
  }
  document.title = next.title;
  // Said aloud only where the verdict changed, and also to somebody whose open sheet keeps it as it was.
  const now = next.getElementById("headline")?.textContent;
  say(now !== headline ? `The verdict changed. ${now}` : "");
  headline = now;
}

// Whoever reads or types in a part keeps it as it is.
function busy(part) {
  const selection = getSelection();
  return part.contains(document.activeElement) || part.querySelector("details[open]") !== null
    || (!selection.isCollapsed && part.contains(selection.anchorNode));
}

// A second click sends nothing twice.
function once(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    addEventListener("pageshow", () => delete form.dataset.sent, { once: true });
  });
}

function say(text) {
  if (fresh.textContent !== text) fresh.textContent = text;
}
