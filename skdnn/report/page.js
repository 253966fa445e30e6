"use strict";
const held = JSON.parse(document.getElementById("results").textContent);
const tables = new Map(held.results.flatMap(([name, result]) =>
  result.tables.map(([title, table]) => [JSON.stringify([name, title]), table])));
const pictures = new Map(held.results.map(([name, result]) => [name, result.pictures]));
const tableOf = (element) => tables.get(JSON.stringify([element.dataset.of, element.dataset.table]));

// Names may hold anything: what steers a page or turns its writing is shown as an escape.
const printable = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, (sign) =>
  sign === "\n" || sign === "\t" ? sign : "\\u" + sign.codePointAt(0).toString(16).padStart(4, "0"));

// --- tables ---------------------------------------------------------------------------------

// A value as JSON holds it, as text: in full, or as `cell` of _tables.py shortens it for eyes.
function text(value, short) {
  if (value === null) return "";
  if (typeof value === "boolean") return short ? (value ? "yes" : "no") : String(value);
  if (typeof value === "number") return short ? digits(value) : String(value);
  if (typeof value !== "object") return value;
  const many = Array.isArray(value) ? value : value.$tuple;
  if (many) return many.map((each) => text(each, short)).join(", ");
  if ("$float" in value) return value.$float;
  if ("$text" in value) return value.$text;
  const pairs = value.$dict ?? Object.entries(value);
  return pairs.map(([key, each]) => `${text(key, short)}: ${text(each, short)}`).join(", ");
}
function digits(value) {
  const size = Math.abs(value);
  if (size >= 1e4 && size < 1e15) return value.toFixed(0);
  const [, power] = value.toExponential(3).split("e");
  if (value !== 0 && (power < -4 || power >= 4)) {
    const [head, tail] = value.toExponential(3).split("e");
    return `${Number(head)}e${tail[0]}${tail.slice(1).padStart(2, "0")}`;
  }
  return Object.is(value, -0) ? "-0" : String(Number(value.toPrecision(4)));
}
function unfolded(array) {
  if (array.dtype !== "category") return array.values;
  return array.values.map((code) => (code < 0 ? null : array.categories.values[code]));
}
// Heads and columns, those of a named or labelled index first.
function columnsOf(table) {
  const { names, levels, range } = table.index;
  const n = table.values.length ? table.values[0].values.length : 0;
  const count = (array) => array.map((_, k) => range[0] + k * range[2]);
  const index = levels ?? (names[0] === null ? [] : [{ dtype: "int64", values: count(Array(n).fill(0)) }]);
  const heads = index.map((_, k) => (names[k] === null ? "" : text(names[k], false)));
  const labels = table.columns.levels?.map(unfolded);
  const [start, , step] = table.columns.range ?? [0, 0, 1];
  const head = (k) => (labels ? labels.map((level) => text(level[k], false)).join(" / ") : String(start + k * step));
  return [...index.map((array, k) => ({ head: heads[k], array })),
    ...table.values.map((array, k) => ({ head: head(k), array }))]
    .map(({ head: name, array }) => ({ head: name, dtype: array.dtype, values: unfolded(array) }));
}
const isNumber = (dtype) => /^(u?int|float)/.test(dtype);

// Sorted by a click on a heading, or Enter: numbers as numbers, what is undefined last.
for (const button of document.querySelectorAll("[data-sort]")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, shown = button.closest("table");
    const columns = columnsOf(tableOf(shown));
    const at = [...head.parentElement.children].indexOf(head), { values, dtype } = columns[at];
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const each of head.parentElement.children) each.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keys = values.map((each) => {
      if (isNumber(dtype) || typeof each === "number") return Number(each === "inf" ? Infinity : each === "-inf" ? -Infinity : each);
      return each === null || each?.$float === "nan" ? NaN : text(each, false);
    });
    const less = (a, b) => (typeof a === "string" || typeof b === "string" ? String(a).localeCompare(String(b), undefined, { numeric: true }) : a - b || 0);
    const order = keys.map((_, k) => k).sort((a, b) => {
      const [x, y] = [keys[a], keys[b]], lost = Number.isNaN(x) - Number.isNaN(y);
      return lost || (down ? less(y, x) : less(x, y)) || a - b;
    });
    const body = shown.tBodies[0];
    body.replaceChildren(...order.slice(0, body.rows.length).map((k) => {
      const row = document.createElement("tr");
      for (const column of columns) {
        const cell = row.insertCell(), value = column.values[k];
        const name = isNumber(column.dtype) && column.dtype[0] !== "f" ? String(value) : text(value, true);
        if (isNumber(column.dtype)) cell.className = "number";
        if (!isNumber(column.dtype) && Object.hasOwn(held.images, name)) {
          const picture = new Image();
          picture.src = held.images[name];
          picture.alt = "";
          cell.append(picture, " ");
        }
        cell.append(printable(name));
      }
      return row;
    }));
  });
}

// --- saving and copying -----------------------------------------------------------------------

function save(content, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
for (const button of document.querySelectorAll("[data-csv]")) {
  button.addEventListener("click", () => {
    const columns = columnsOf(tableOf(button)), rows = [columns.map(({ head }) => head)];
    columns[0]?.values.forEach((_, k) => rows.push(columns.map(({ values }) => text(values[k], false))));
    const lines = rows.map((row) => row.map(quoted).join(",") + "\r\n").join("");
    const name = `${button.dataset.of} ${button.dataset.table}`.replace(/[^\p{L}\p{N}]+/gu, "_");
    save(lines, `${name}.csv`, "text/csv");
  });
}
document.querySelector("[data-json]").addEventListener("click", () =>
  save(document.getElementById("results").textContent, "results.skdnn.json", "application/json"));
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = button.parentElement.querySelector("p, pre"), told = button.textContent;
    getSelection().selectAllChildren(source); // to be copied by hand where a browser refuses
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected: copy it by Ctrl+C";
    }
    setTimeout(() => { button.textContent = told; }, 2000);
  });
}
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});

// --- matrices: painted, and the cell under the pointer or the keyboard is told -----------------

const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function colour(share) {
  const place = share * (SCALE.length - 1), k = Math.min(Math.floor(place), SCALE.length - 2);
  return SCALE[k].map((low, c) => low + (place - k) * (SCALE[k + 1][c] - low));
}
const matrices = [...document.querySelectorAll(".matrix")].map((box) => {
  const table = tableOf(box), columns = table.values.map((array) => array.values.map(Number));
  const levels = table.index.levels?.map(unfolded);
  const n = columns[0].length, m = columns.length;
  const labels = columns[0].map((_, k) => (levels ? levels.map((level) => text(level[k], false)).join(" / ") : String(k)));
  const canvas = box.querySelector("canvas"), pen = canvas.getContext("2d");
  const known = columns.flat().filter(Number.isFinite);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity);
  const high = known.reduce((a, b) => Math.max(a, b), -Infinity);
  const side = Math.max(1, Math.floor(480 / Math.max(n, m)));
  [canvas.width, canvas.height] = [side * m, side * n];
  columns.forEach((column, j) => column.forEach((value, i) => {
    const rgb = Number.isFinite(value) ? colour((value - low) / (high - low || 1)) : [118, 118, 118];
    pen.fillStyle = `rgb(${rgb.map(Math.round).join(" ")})`;
    pen.fillRect(j * side, i * side, side, side);
  }));
  const tip = box.querySelector(".tip"), cursor = box.querySelector(".cursor");
  // Without labels, rows are numbers, which name no picture: there may be some of the RDM's own.
  const own = pictures.get(box.dataset.of).conditions;
  const pictured = (k) => own?.[k] ?? (levels && Object.hasOwn(held.images, labels[k]) && held.images[labels[k]]);
  const named = (k) => {
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    if (pictured(k)) {
      const picture = new Image();
      picture.src = pictured(k);
      picture.alt = "";
      figure.append(picture);
    }
    caption.textContent = printable(labels[k]);
    figure.append(caption);
    return figure;
  };
  const tell = (i, j) => {
    const value = columns[j][i], told = document.createElement("strong");
    told.textContent = Number.isFinite(value) ? `${box.dataset.what} ${digits(value)}` : "undefined";
    tip.replaceChildren(told, named(i), named(j));
    cursor.hidden = false;
    cursor.style.cssText = `left: ${(100 * j) / m}%; top: ${(100 * i) / n}%; width: ${100 / m}%; height: ${100 / n}%`;
  };
  return { canvas, tip, tell, n, m, at: [0, 0], key: JSON.stringify(labels) };
});
for (const matrix of matrices) {
  const { canvas, n, m, key } = matrix;
  // RDMs of the same conditions show the same pair.
  const go = (i, j) => {
    const [row, column] = [Math.min(n - 1, Math.max(0, i)), Math.min(m - 1, Math.max(0, j))];
    for (const each of matrices.filter((other) => other.key === key)) {
      each.tip.setAttribute("aria-live", each === matrix ? "polite" : "off");
      each.tell(row, column);
      each.at = [row, column];
    }
  };
  const point = (event) => {
    const area = canvas.getBoundingClientRect();
    go(Math.floor(((event.clientY - area.top) / area.height) * n), Math.floor(((event.clientX - area.left) / area.width) * m));
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) go(...matrix.at); });
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      PageUp: [-10, 0], PageDown: [10, 0], Home: [0, -m], End: [0, m] }[event.key];
    if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    go(matrix.at[0] + step[0], matrix.at[1] + step[1]);
  });
}
