// Tables whose rows stay the same elements while their numbers change: what has the focus keeps it.
export const cell = (text, kind = "") => ({ text: String(text), kind });

export const fill = (body, rows, button = null) => {
  const before = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const kept = [];
  for (const { key, cells } of rows) {
    const row = before.get(key) ?? made(key, cells.length, button);
    cells.forEach(({ text, kind }, index) => {
      const place = row.children[index];
      if (place.textContent !== text) place.textContent = text;   // text alone: it may be a client's
      if (place.className !== kind) place.className = kind;
      if (kind.includes("path")) place.title = text;
    });
    kept.push(row);
  }
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
  return row;
};

export const span = (seconds) => {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};
