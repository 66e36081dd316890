// Tables whose rows stay the same elements while their numbers change: what has the focus keeps it.
export const cell = (text, kind = "") => ({ text: String(text), kind });

const tellOf = new WeakMap();   // by row: what makes its cells
const inView = new Set();
const view = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) { inView.add(target); paint(target); } else inView.delete(target);
  }
}, { rootMargin: "500px" });

// Writes what has changed; returns how much that was.
const paint = (row) => {
  let changed = 0;
  tellOf.get(row)().forEach(({ text, kind }, index) => {
    const place = row.children[index];
    if (place.textContent !== text) { place.textContent = text; changed += 1; }   // text alone: it may be a client's
    if (place.className !== kind) { place.className = kind; changed += 1; }
    if (["name", "path"].includes(kind) && place.title !== text) place.title = text;   // it may be cut
  });
  return changed;
};

// Rows go on between two lists, and with the next one, where somebody sees them; the others when they come into view.
export const repaint = (body) => [...inView].reduce((sum, row) => sum + (body.contains(row) ? paint(row) : 0), 0);

export const fill = (body, rows, button = null) => {
  const before = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const kept = [];
  for (const { key, cells } of rows) {
    const known = before.get(key), row = known ?? made(key, cells().length, button);
    before.delete(key);
    tellOf.set(row, cells);
    if (!known || inView.has(row)) paint(row);
    kept.push(row);
  }
  for (const row of before.values()) { view.unobserve(row); inView.delete(row); }
  if (kept.length !== body.children.length || kept.some((row, index) => body.children[index] !== row)) {
    const focused = document.activeElement;
    body.replaceChildren(...kept);
    if (focused && body.contains(focused)) focused.focus();
  }
};

const made = (key, cells, button) => {
  const row = document.createElement("tr");
  row.dataset.key = key;
  for (let index = 0; index < cells; index += 1) row.append(document.createElement("td"));
  if (button !== null) {
    const last = document.createElement("td"), press = document.createElement("button");
    press.type = "button";
    press.textContent = button.text;
    press.addEventListener("click", () => button.press(key));
    last.append(press);
    row.append(last);
  }
  view.observe(row);
  return row;
};

export const span = (seconds) => {
  const whole = Math.floor(seconds);
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};
