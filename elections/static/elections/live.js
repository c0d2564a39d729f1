// Keeps the page current: votes and statuses from /ws/elections, the block height from /ws/chain.

const number = new Intl.NumberFormat("en");
const one = document.querySelector("[data-only]")?.dataset.election ?? "";
const finalities = { latest: "Latest block", safe: "Safe", finalized: "Finalized" };
let height = null;

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function connect(path, parameters, onMessage, onState) {
  let attempt = 0;
  let hint = null;
  let alive = null;
  const open = () => {
    const address = new URL(path, location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of Object.entries(parameters())) if (value !== "") address.searchParams.set(name, value);
    const socket = new WebSocket(address);
    const watch = () => {
      clearTimeout(alive);
      // The server beats every 20 s; twice nothing means a half-open connection.
      alive = setTimeout(() => socket.close(), 45_000);
    };
    socket.onopen = () => { attempt = 0; watch(); onState("live"); };
    socket.onmessage = (event) => {
      watch();
      const message = JSON.parse(event.data);
      if (message.type === "heartbeat") socket.send('{"type":"heartbeat"}');
      else if (message.type === "closing") hint = message.retry_after_seconds;
      else onMessage(message);
    };
    socket.onclose = () => {
      clearTimeout(alive);
      onState("lost");
      // With jitter, so that the clients of a restart do not come back as one wave.
      const wait = hint ?? Math.min(30, 2 ** attempt) * (0.5 + Math.random());
      hint = null;
      attempt += 1;
      setTimeout(open, wait * 1000);
    };
  };
  open();
}

function showState(state) {
  for (const dot of all("[data-connection]")) dot.dataset.connection = state;
  for (const text of all("[data-connection-text]")) text.textContent = state === "live" ? "live" : "reconnecting";
}

function announce(text) {
  const region = document.querySelector("[data-announce]");
  if (region && region.textContent !== text) region.textContent = text;
}

function showElection(root, election) {
  const total = election.tally.reduce((sum, entry) => sum + entry.votes, 0);
  const leading = Math.max(0, ...election.tally.map((entry) => entry.votes));
  for (const entry of election.tally) {
    const row = root.querySelector(`[data-option="${entry.option}"]`);
    if (!row) continue;
    const share = total ? (100 * entry.votes) / total : 0;
    row.querySelector("[data-fill]").setAttribute("width", `${share.toFixed(3)}%`);
    row.querySelector("[data-share]").textContent = `${share.toFixed(1)}%`;
    row.querySelector("[data-votes]").textContent = number.format(entry.votes);
    row.toggleAttribute("data-leading", entry.votes === leading && leading > 0);
  }
  for (const place of all("[data-turnout]", root)) place.textContent = number.format(total);
  for (const place of all("[data-turnout-word]", root)) place.textContent = total === 1 ? "vote" : "votes";
  for (const place of all("[data-finality]", root)) place.textContent = finalities[election.finality];
  const moment = { pending: election.start, open: election.end }[election.status];
  if (moment?.time) for (const place of all("[data-time]", root)) place.setAttribute("datetime", moment.time);
  root.dataset.revision = election.revision;
}

let reloading = null;
function reload() {
  // The page as the server has it now; spread out, so that all displays do not ask at once.
  reloading ??= setTimeout(async () => {
    reloading = null;
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!response.ok && response.status !== 404) return;
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html").querySelector("main");
      const focused = document.activeElement?.closest("main a")?.getAttribute("href");
      const place = document.querySelector("main");
      if (!fresh) return;
      place.replaceChildren(...fresh.childNodes);
      if (focused) all("a", place).find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
      tick();
    } catch {
      setTimeout(reload, 5000);
    }
  }, 150 + Math.random() * 850);
}

let revision = Math.max(0, ...all("[data-revision]").map((root) => Number(root.dataset.revision)));
function onElection(message) {
  if (message.type === "hello") return;
  if (message.type === "many_changed") { revision = message.revision; reload(); return; }
  if (message.type !== "election" && message.type !== "retraction") return;
  revision = Math.max(revision, message.revision);
  const roots = all(`[data-election="${CSS.escape(message.id)}"]`);
  const isKnown = roots.length > 0 && message.election && roots[0].dataset.status === message.election.status;
  if (message.type === "retraction") announce("A chain reorganisation took votes back; the numbers were counted again.");
  for (const root of roots) if (isKnown && Number(root.dataset.revision) <= message.revision) showElection(root, message.election);
  if (!isKnown || (one && message.reasons.some((reason) => reason !== "votes"))) reload();
  if (isKnown && one) announceVotes(message.election);
}

let lastAnnounced = 0;
function announceVotes(election) {
  // At most every 15 s: a screen reader should not count along.
  if (Date.now() - lastAnnounced < 15_000) return;
  lastAnnounced = Date.now();
  announce(`${number.format(election.turnout)} votes so far.`);
}

function onBlock(message) {
  if (typeof message.block !== "number") return;
  height = message.block;
  for (const place of all("[data-block]")) { place.textContent = number.format(height); place.hidden = false; }
  showRemaining();
}

function showRemaining() {
  if (height === null) return;
  for (const place of all("[data-remaining]")) {
    place.textContent = number.format(Math.max(0, Number(place.dataset.remaining) - height));
  }
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "long" });
const units = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
function tick() {
  for (const place of all("[data-time]")) {
    const moment = new Date(place.getAttribute("datetime"));
    const seconds = Math.round((moment - Date.now()) / 1000);
    const status = place.closest("[data-status]").dataset.status;
    place.title = moment.toLocaleString();
    if ((status === "open" || status === "pending") && seconds <= 0) {
      place.textContent = "any moment now";
      continue;
    }
    const [unit, size] = units.find(([, length]) => Math.abs(seconds) >= length) ?? units[3];
    place.textContent = relative.format(Math.trunc(seconds / size), unit);
  }
  showRemaining();
}

connect("/ws/elections", () => ({ election: one, since: revision }), onElection, showState);
connect("/ws/chain", () => ({ election: one }), onBlock, () => {});
tick();
setInterval(tick, 1000);
