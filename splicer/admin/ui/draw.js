// The picture: four columns, listener → route → upstream → pod, with a line for each way that requests take.
const NS = "http://www.w3.org/2000/svg";
const COLUMNS = [0.0, 0.26, 0.56, 0.8], WIDTH = 1200, BOX = 210, HIGH = 38, GAP = 10;
const MOST_PODS = 40;

const svg = (name, fields = {}, text = null) => {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(fields)) element.setAttribute(key, value);
  if (text !== null) element.textContent = text;   // text alone: it may be a client's
  return element;
};
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
export const calls = (count) => (count === 1 ? "1 call" : `${count} calls`);
const isWell = (pod) => ["up", "unknown"].includes(pod.state) && !pod.drained;

// Many pods that are well are one box.
const podsOf = (upstream) => {
  const busy = upstream.pods.length > MOST_PODS;
  const shown = busy ? upstream.pods.filter((pod) => !isWell(pod)).slice(0, MOST_PODS) : upstream.pods;
  const names = shown.map((pod) => pod.name);
  const isShared = (name) => names.indexOf(name) !== names.lastIndexOf(name);   // a service's name has many endpoints
  const nodes = shown.map((pod) => ({
    kind: "pod", id: `pod ${upstream.name} ${pod.name} ${pod.endpoint}`, of: pod, upstream,
    title: isShared(pod.name) ? pod.endpoint : pod.name,
    note: [pod.state, calls(pod.live), pod.failure].filter(Boolean).join(" · "),
    live: pod.live, bad: !["up", "unknown"].includes(pod.state), drained: pod.drained,
  }));
  if (busy) {
    const well = upstream.pods.filter(isWell);
    nodes.push({
      kind: "many", id: `many ${upstream.name}`, title: `${well.length + upstream.more} pods are well`, upstream,
      note: calls(well.reduce((sum, pod) => sum + pod.live, 0)), live: well.reduce((sum, pod) => sum + pod.live, 0),
    });
  }
  return nodes;
};

const columnsOf = (state) => {
  const listeners = state.listeners.map((listener) => ({
    kind: "listener", id: `listener ${listener.address}`, title: listener.address, of: listener,
    note: [listener.tls && `TLS: ${listener.tls}`, listener.proxy_protocol && "PROXY", listener.passthrough && "pass-through"]
      .filter(Boolean).join(" · ") || "plain",
  }));
  const routes = state.routes.map((route) => ({
    kind: "route", id: `route ${route.name}`, title: route.name, of: route, live: route.live,
    note: [`${route.rate}/s`, calls(route.live), route.errors ? `${route.errors} errors/s` : null,
           route.p99_ms === null ? null : `p99 ${route.p99_ms} ms`].filter(Boolean).join(" · "),
    bad: route.errors > 0, drained: route.drained,
  }));
  const upstreams = state.upstreams.map((upstream) => ({
    kind: "upstream", id: `upstream ${upstream.name}`, title: upstream.name, of: upstream,
    note: upstream.failures ? `${upstream.failures} failures/s` : cut(upstream.address, 32), bad: upstream.failures > 0,
  }));
  const pods = state.upstreams.flatMap(podsOf);
  return [listeners, routes, upstreams, pods];
};

const edgesOf = (state, [listeners, , , pods]) => {
  const edges = [];
  for (const route of state.routes) {
    for (const listener of listeners) {
      edges.push({ from: listener.id, to: `route ${route.name}`, live: route.live, bad: route.errors > 0 });
    }
    const weights = route.upstreams.reduce((sum, one) => sum + one.weight, 0), isSplit = route.upstreams.length > 1;
    for (const { name, weight, live } of route.upstreams) {
      const share = isSplit ? `${(100 * weight / weights).toFixed(weight % weights ? 1 : 0)} %` : "";
      edges.push({ from: `route ${route.name}`, to: `upstream ${name}`, live, bad: route.errors > 0, share });
    }
    if (route.fallback !== null) {
      edges.push({ from: `route ${route.name}`, to: `upstream ${route.fallback}`, fallback: true,
                   live: route.fallback_live, bad: route.fallbacks > 0 });
    }
  }
  for (const pod of pods) {
    edges.push({ from: `upstream ${pod.upstream.name}`, to: pod.id, live: pod.live, bad: pod.bad });
  }
  return edges;
};

const place = (columns) => {
  const places = new Map(), height = Math.max(...columns.map((column) => column.length), 1) * (HIGH + GAP) + GAP;
  columns.forEach((column, index) => {
    const step = height / Math.max(1, column.length);
    column.forEach((node, row) => places.set(node.id, { x: COLUMNS[index] * WIDTH + 8, y: step * (row + 0.5) - HIGH / 2 }));
  });
  return { places, height };
};

// What stays is not made anew: an element is touched if something of it has changed, and keeps the focus.
const set = (element, name, value) => {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
};
const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };   // text alone: see above

const frame = () => {
  const picture = svg("svg", { role: "list" }), defs = svg("defs"), hatch = svg("pattern", { id: "hatch", width: 6,
    height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  hatch.append(svg("rect", { width: 2, height: 6, fill: "var(--warn)", opacity: 0.5 }));
  defs.append(hatch);
  picture.append(defs);
  return { picture, defs };
};

const drawEdge = (path, edge, from, to) => {
  const x = from.x + BOX, y = from.y + HIGH / 2, end = to.y + HIGH / 2, middle = (x + to.x) / 2;
  const kinds = ["edge", edge.bad ? "bad" : edge.live ? "live" : "", edge.fallback ? "fallback" : ""];
  set(path, "class", kinds.filter(Boolean).join(" "));
  set(path, "d", `M${x} ${y}C${middle} ${y} ${middle} ${end} ${to.x} ${end}`);
  set(path, "stroke-width", Math.min(10, 1 + Math.log2(1 + (edge.live || 0))));
};

const drawShare = (text, edge, to) => {
  set(text, "x", to.x - 6);
  set(text, "y", to.y + HIGH / 2 - 5);
  say(text, edge.share);
};

const drawNode = (group, node, { x, y }, chosen) => {
  const kinds = ["node", node.bad && "bad", node.drained && "drained", chosen === node.id && "chosen"];
  const [, title, note, whole] = group.children;
  set(group, "class", kinds.filter(Boolean).join(" "));
  set(group, "transform", `translate(${x} ${y})`);
  set(group, "aria-label", `${node.kind} ${node.title}: ${node.note}`);
  say(title, cut(node.title, 30));
  say(note, cut(node.note, 38));
  say(whole, node.title);
};

const nodeElement = (id, press) => {
  const group = svg("g", { tabindex: 0, role: "listitem", "data-id": id });
  group.append(svg("rect", { width: BOX, height: HIGH, rx: 4 }), svg("text", { x: 8, y: 16 }),
               svg("text", { x: 8, y: 31, class: "soft" }), svg("title"));
  group.addEventListener("click", press);
  group.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); press(); }
  });
  return group;
};

// The picture in an element: `draw` makes it the one of a state, and returns its nodes by id.
export const pictureIn = (into, choose) => {
  const { picture, defs } = frame();
  let elements = new Map(), nodes = new Map();
  into.replaceChildren(picture);
  return (state, chosen) => {
    const columns = columnsOf(state), { places, height } = place(columns), kept = new Map();
    const keep = (key, make) => {
      const element = elements.get(key) ?? make();
      kept.set(key, element);
      return element;
    };
    set(picture, "viewBox", `0 0 ${WIDTH} ${height}`);
    for (const edge of edgesOf(state, columns)) {
      const from = places.get(edge.from), to = places.get(edge.to);
      if (from && to) {
        const key = `${edge.from}\n${edge.to}\n${edge.fallback ?? false}`;
        drawEdge(keep(key, () => svg("path")), edge, from, to);
        if (edge.share) drawShare(keep(`${key}\nshare`, () => svg("text", { class: "soft", "text-anchor": "end" })), edge, to);
      }
    }
    nodes = new Map(columns.flat().map((node) => [node.id, node]));
    for (const [id, node] of nodes) {
      drawNode(keep(id, () => nodeElement(id, () => choose(nodes.get(id)))), node, places.get(id), chosen);
    }
    if ([...kept.keys()].join("\n") !== [...elements.keys()].join("\n")) {
      const focused = into.contains(document.activeElement) ? document.activeElement : null;
      picture.replaceChildren(defs, ...kept.values());
      focused?.focus();
    }
    elements = kept;
    return nodes;
  };
};
