"use strict";
// RDMs: cells are painted, and the one under the pointer or the keyboard is told.
for (const box of document.querySelectorAll(".rdm")) {
  const { labels, values, thumbs } = JSON.parse(box.querySelector("script").textContent);
  const canvas = box.querySelector("canvas"), tip = box.querySelector(".tip");
  const n = labels.length, pen = canvas.getContext("2d");
  const known = values.flat().filter((v) => v !== null);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const side = Math.max(1, Math.floor(460 / n));
  canvas.width = canvas.height = side * n;
  values.forEach((row, i) => row.forEach((v, j) => {
    const share = v === null ? 0 : (v - low) / (high - low || 1);
    pen.fillStyle = v === null ? "#999" : `hsl(${250 - 190 * share} 70% ${20 + 60 * share}%)`;
    pen.fillRect(j * side, i * side, side, side);
  }));
  let at = [0, 0];
  const tell = (i, j) => {
    at = [i, j];
    tip.replaceChildren();
    for (const k of at) {
      if (!thumbs.length) continue;
      const picture = new Image();
      picture.src = thumbs[k];
      picture.alt = labels[k];
      tip.append(picture);
    }
    const value = values[i][j] === null ? "undefined" : values[i][j].toPrecision(4);
    tip.append(`${labels[i]}, ${labels[j]}: ${value}`);
  };
  canvas.addEventListener("pointermove", (event) => {
    const area = canvas.getBoundingClientRect();
    const cell = (part, whole) => Math.min(n - 1, Math.max(0, Math.floor((part / whole) * n)));
    tell(cell(event.clientY - area.top, area.height), cell(event.clientX - area.left, area.width));
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    tell(...at.map((place, k) => Math.min(n - 1, Math.max(0, place + step[k]))));
  });
}
const valueOf = (cell) => cell.dataset.v ?? cell.textContent;
// Tables: sorted by a click on a heading, numbers as numbers, NaN last.
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, row = head.parentElement;
    const column = [...row.children].indexOf(head);
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const each of row.children) each.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = row.closest("table").tBodies[0], rows = [...body.rows];
    const key = (each) => valueOf(each.cells[column]);
    const numeric = rows.every((each) => key(each) === "nan" || !Number.isNaN(Number(key(each))));
    const sign = down ? -1 : 1;
    rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "nan" || y === "nan") return (x === "nan") - (y === "nan");
      return sign * (numeric ? x - y : x.localeCompare(y));
    });
    body.append(...rows);
  });
}
for (const button of document.querySelectorAll("[data-csv]")) {
  button.addEventListener("click", () => {
    const table = button.closest("details").querySelector("table");
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [...table.rows].map((row) => [...row.cells].map((c) => quoted(valueOf(c))).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\r\n")], { type: "text/csv" }));
    link.download = `${button.dataset.csv}.csv`;
    link.click();
  });
}
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => {
    const text = button.parentElement.querySelector("pre");
    getSelection().selectAllChildren(text);
    navigator.clipboard?.writeText(text.textContent);
  });
}
// All tables are printed.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
