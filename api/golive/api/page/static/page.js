// Refreshes what is shown, every so often: asks for the same page, and puts what changed in its place.
// Nothing that reading needs is here.

const seconds = Number(document.body.dataset.refreshS);
const CONTROLS = "a, summary";
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
    if (other === null || busy(part, other) || other.outerHTML === part.outerHTML) continue;
    const focused = twin(part, other);
    // What was typed into a sheet that was closed since, to look at something else, is kept.
    for (const typed of part.querySelectorAll("textarea")) {
      const same = other.querySelector(`#${typed.id}`);
      if (same !== null) same.value = typed.value;
    }
    const places = [...part.querySelectorAll(".scroll")].map((scrolled) => scrolled.scrollLeft);
    part.replaceWith(other);
    focused?.focus({ preventScroll: true });
    other.querySelectorAll(".scroll").forEach((scrolled, number) => { scrolled.scrollLeft = places[number] ?? 0; });
    for (const form of other.querySelectorAll("form[method=post]")) once(form);
  }
  document.title = next.title;
  // Said aloud only where the verdict changed, and also to somebody whose open sheet keeps it as it was.
  const now = next.getElementById("headline")?.textContent;
  say(now !== headline ? `The verdict changed. ${now}` : "");
  headline = now;
}

// Whoever reads or types in a part keeps it as it is. One where only a link or what opens a sheet has the focus is put in
// its place once it says something else, for nobody should look at an old verdict for that.
function busy(part, other) {
  const selection = getSelection();
  const focused = document.activeElement;
  return part.querySelector("details[open]") !== null
    || (!selection.isCollapsed && part.contains(selection.anchorNode))
    || (part.contains(focused) && (!focused.matches(CONTROLS) || words(part) === words(other)));
}

// The control of the next part that gets the focus: the same one, or what stands where it stood.
function twin(part, other) {
  const place = [...part.querySelectorAll(CONTROLS)].indexOf(document.activeElement);
  if (place < 0) return undefined;
  const controls = [...other.querySelectorAll(CONTROLS)];
  return controls.find((each) => each.outerHTML === document.activeElement.outerHTML) ?? controls[place];
}

function words(part) {
  const copy = part.cloneNode(true);
  for (const time of copy.querySelectorAll("time")) time.remove();
  return copy.textContent;
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
