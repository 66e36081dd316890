// The dashboard: it draws what /events says, and asks the admin address to close calls and to drain.
import { calls as callsIn, pictureIn } from "./draw.js";
import { cell, fill, repaint, span } from "./table.js";

const SLOW_MS = 300, LOSSY = 0.01, SEGMENT = 1400;
const DRAW_MS = 100, LIST_SECONDS = 2;   // between two drawings; between two lists of calls
const by = (id) => document.getElementById(id);
const show = (id, text) => { by(id).textContent = text; by(id).hidden = text === ""; };

let state = null, calls = null, drawn = { state, calls }, nodes = new Map(), chosen = null, stream = null, lostAt = null;

const tell = (text) => {
  show("told", text);
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => show("told", ""), 6000);
};

const ask = (text, word = null) => new Promise((answer) => {
  const dialog = by("ask"), typed = by("ask-word"), yes = by("ask-yes");
  by("ask-text").textContent = text;
  by("ask-type").hidden = word === null;
  typed.value = "";
  yes.disabled = word !== null;
  typed.oninput = () => { yes.disabled = typed.value !== word; };
  dialog.onclose = () => answer(dialog.returnValue === "yes");
  dialog.returnValue = "no";
  dialog.showModal();
});

const act = async (method, path, body = null) => {
  const headers = { "X-Splicer": "1", ...(body === null ? {} : { "Content-Type": "application/json" }) };
  try {
    const answer = await fetch(path, { method, headers, body: body === null ? null : JSON.stringify(body) });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error ?? `status ${answer.status}`);
    return true;
  } catch (error) {
    tell(error.message);
    return false;
  }
};

const close = async (id) => {
  if (await ask(`Close the call ${id}? The caller is cut off.`) && await act("DELETE", `/tunnels/${encodeURIComponent(id)}`)) {
    tell(`The call ${id} is closed.`);
  }
};

const drain = async (scope, name, drained) => {
  const what = scope === "all" ? "the edge" : `${scope} ${name}`;
  const body = scope === "all" ? null : { [scope]: name };
  if (drained) {
    if (await act("DELETE", "/drain", body)) tell(`New calls go to ${what} again.`);
  } else if (await ask(`Drain ${what}? No new call goes there; live ones finish.`, scope === "all" ? "drain" : null)) {
    if (await act("POST", "/drain", body)) tell(`${what} is drained.`);
  }
};

const line = (rtt, again, bytes) => {
  if (rtt === null) return cell("–", "number soft");
  const lossy = again > 3 && again / Math.max(1, bytes / SEGMENT) > LOSSY;
  return cell(`${rtt.toFixed(1)} ms${again ? ` · ${again}` : ""}`, rtt >= SLOW_MS || lossy ? "number bad" : "number");
};

// A call that was silent as long as from one list to the next is taken to be silent still.
const showCalls = (told, at) => {
  const since = () => (lostAt === null ? (performance.now() - at) / 1000 : 0);
  const silent = (call) => call.idle_s + (call.idle_s < LIST_SECONDS ? 0 : since());
  const few = told.tunnels.length < told.found ? `, the first ${told.tunnels.length} are shown` : "";
  by("calls-count").textContent = `(${told.found === told.total ? "" : `${told.found} of `}${told.total}${few})`;
  fill(by("calls").tBodies[0], told.tunnels.map((call) => ({ key: call.id, cells: () => [
    cell(call.pod, "name"), cell(call.route ?? "", "name"), cell(call.client, "name"), cell(call.host ?? "", "name"), cell(call.path, "path"),
    cell(span(call.age_s + since()), "number"), cell(span(silent(call)), "number"), cell(call.rate.toLocaleString("en"), "number"),
    line(call.client_rtt_ms, call.client_retransmits, call.bytes_to_client),
    line(call.pod_rtt_ms, call.pod_retransmits, call.bytes_to_pod),
    cell(call.adopted ? `${call.worker} +${call.adopted}` : call.worker, "number"),
  ] })), { text: "Close", press: close });
};

const choose = (node) => {
  chosen = chosen === node.id ? null : node.id;
  const filter = by("filter").elements;
  filter.route.value = chosen && node.kind === "route" ? node.of.name : "";
  filter.pod.value = chosen && node.kind === "pod" ? node.of.name : "";
  listen();
  showState();
};

const showChosen = () => {
  const node = nodes.get(chosen), box = by("chosen");
  box.hidden = node === undefined;
  if (node === undefined) return;
  const title = document.createElement("h2"), facts = document.createElement("div");
  title.textContent = `${node.kind} ${node.title}`;
  for (const [key, value] of Object.entries(node.of ?? {})) {
    if (value === null || typeof value === "object" || key === "name") continue;
    const fact = document.createElement("p");
    fact.textContent = `${key}: ${value}`;
    facts.append(fact);
  }
  const parts = [title, facts];
  if (["pod", "route"].includes(node.kind) && !node.of.answers) {
    const button = document.createElement("button");
    button.type = "button";
    button.id = "drain-chosen";
    button.textContent = node.drained ? "Undo the drain" : "Drain";
    button.addEventListener("click", () => drain(node.kind, node.of.name, node.drained));
    parts.push(button);
  }
  const focused = document.activeElement?.id === "drain-chosen";
  box.replaceChildren(...parts);
  if (focused) by("drain-chosen")?.focus();
};

const showState = () => {
  if (state === null) return;
  nodes = drawPicture(state, chosen);
  showChosen();
  const live = state.routes.reduce((sum, route) => sum + route.live, 0);
  by("facts").textContent = `${state.version} · ${callsIn(live)} · ${state.connections} connections · up ${span(state.uptime_s)}`
    + ` · generation ${state.generation}${state.draining ? " · draining" : ""}`;
  const all = state.drains.some((one) => one.scope === "all");
  by("drain-all").textContent = all ? "Undo the drain of the edge" : "Drain the edge";
  show("reload", state.reload.ok ? "" : ["The last reload failed; the old rules are in force.", ...state.reload.faults].join("\n"));
  show("missing", state.missing_workers.length ? `No answer from worker ${state.missing_workers.join(", ")}: what follows lacks its calls.` : "");
  fill(by("workers").tBodies[0], state.workers.map((worker, index) => ({ key: `${worker.slot} ${index}`, cells: () => [
    cell(worker.slot), cell(worker.tunnels, "number"), cell(worker.exchanges, "number"), cell(worker.connections, "number"),
    cell(worker.mover ?? ""), cell(worker.pid ?? ""),
  ] })));
  by("tls").hidden = state.certificates.length === 0;
  fill(by("certificates").tBodies[0], state.certificates.map((one) => ({ key: `${one.side} ${one.profile} ${one.path}`, cells: () => [
    cell(`${one.side} ${one.profile}`), cell(one.names.join(", "), "path"), cell(one.key),
    cell(`${one.not_after.slice(0, 10)} (${one.days_left} days)`, one.days_left < 7 ? "bad" : ""),
    cell(one.fault ?? (one.current ? "in use" : "old"), one.fault ? "bad" : ""),
  ] })));
  const select = by("filter").elements.route, known = [...select.options].slice(1).map((one) => one.value);
  const names = state.routes.filter((route) => !route.answers).map((route) => route.name);
  if (known.join("\n") !== names.join("\n")) {
    const value = select.value;
    select.replaceChildren(select.options[0], ...names.map((name) => new Option(name, name)));
    select.value = names.includes(value) ? value : "";
  }
};

const drawPicture = pictureIn(by("picture"), (node) => choose(node));

// However often something comes, it is drawn ten times a second at most, and not in a hidden tab. Each drawing is in the
// browser's timeline (User Timing), and taken out again: an open page must not grow.
const drawNew = () => {
  const start = performance.now();
  let changed = 0;
  if (drawn.state !== state) { showState(); changed += 1; }
  if (drawn.calls !== calls) { showCalls(calls.told, calls.at); changed += 1; }
  drawn = { state, calls };
  if (lostAt === null) changed += repaint(by("calls").tBodies[0]);
  if (changed) {
    performance.measure("splicer draws", { start });
    performance.clearMeasures("splicer draws");
  }
};
setInterval(() => { if (!document.hidden) requestAnimationFrame(drawNew); }, DRAW_MS);

const lost = () => {
  lostAt ??= new Date();
  document.body.classList.add("lost");
  show("lost", `No connection to the edge since ${lostAt.toLocaleTimeString()}. What you see is old; trying again.`);
};
const found = () => {
  lostAt = null;
  document.body.classList.remove("lost");
  show("lost", "");
};

const listen = () => {
  const { route, pod, sort } = by("filter").elements, query = new URLSearchParams({ sort: sort.value });
  if (route.value) query.set("route", route.value);
  if (pod.value.trim()) query.set("pod", pod.value.trim());
  stream?.close();
  stream = new EventSource(`/events?${query}`);
  stream.addEventListener("state", (event) => { state = JSON.parse(event.data); found(); });
  stream.addEventListener("tunnels", (event) => { calls = { told: JSON.parse(event.data), at: performance.now() }; });
  stream.addEventListener("error", () => {
    lost();
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 2000);   // refused: it would not try again
  });
};

by("filter").addEventListener("change", listen);
by("filter").addEventListener("submit", (event) => { event.preventDefault(); listen(); });
by("drain-all").addEventListener("click", () => drain("all", "", state?.drains.some((one) => one.scope === "all")));
listen();
