"use strict";
/* Tables that sort: the header's button turns the order round. */
document.querySelectorAll("table.sort").forEach(table => {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const key = (row, i) => {
    const cell = row.cells[i], given = cell.dataset.v;
    if (given === undefined) return cell.textContent;
    return given === "" ? null : Number(given);
  };
  heads.forEach((head, i) => head.querySelector("button")?.addEventListener("click", () => {
    const numbers = body.rows[0]?.cells[i].dataset.v !== undefined;
    const now = head.getAttribute("aria-sort");
    const up = now ? now === "descending" : !numbers;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map((row, at) => [key(row, i), at, row]);
    rows.sort((a, b) => {
      if (a[0] === null || b[0] === null) return (a[0] === null) - (b[0] === null) || a[1] - b[1];
      const order = typeof a[0] === "number" ? a[0] - b[0] : a[0].localeCompare(b[0]);
      return (up ? order : -order) || a[1] - b[1];
    });
    rows.forEach(row => body.append(row[2]));
  }));
  const filter = document.querySelector(`[data-filter="${table.id}"]`);
  filter?.addEventListener("input", () => {
    const text = filter.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
  });
});

/* The confusion matrix: point, click or walk with the arrow keys. */
document.querySelectorAll(".heat").forEach(heat => {
  const data = JSON.parse(heat.querySelector("script").textContent);
  const { labels, rows, left, top, size } = data, count = labels.length;
  const svg = heat.querySelector("svg"), tell = heat.querySelector(".tell"), lists = heat.querySelector(".lists");
  const whole = svg.getAttribute("viewBox");
  const sum = rows.map(row => row.reduce((all, cell) => all + cell[1], 0));
  const hits = (i, j) => (rows[i].find(cell => cell[0] === j) || [0, 0])[1];
  const share = (part, all) => all ? (100 * part / all).toFixed(1) + " %" : "–";
  const box = document.createElementNS(svg.namespaceURI, "rect");
  box.setAttribute("class", "mark");
  box.setAttribute("visibility", "hidden");
  svg.append(box);
  let at = [0, 0], zoom = 1;
  const show = (i, j) => {
    box.setAttribute("x", left + j * size); box.setAttribute("y", top + i * size);
    box.setAttribute("width", size); box.setAttribute("height", size);
    box.setAttribute("visibility", "visible");
    tell.textContent = `“${labels[i]}” was called “${labels[j]}” ${hits(i, j)} of ${sum[i]} times (${share(hits(i, j), sum[i])})`;
  };
  const list = (title, cells) => {
    const part = document.createElement("div"), head = document.createElement("b"), items = document.createElement("ol");
    head.textContent = title;
    cells.sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, 8).forEach(([k, n, of]) => {
      const item = document.createElement("li");
      item.textContent = `${labels[k]}: ${n} (${share(n, of)})`;
      items.append(item);
    });
    part.append(head, items);
    return part;
  };
  const pick = (i, j) => {
    at = [i, j];
    show(i, j);
    const called = rows.flatMap((row, k) => row.filter(cell => cell[0] === j).map(cell => [k, cell[1]]));
    const all = called.reduce((n, cell) => n + cell[1], 0);
    lists.replaceChildren(
      list(`What “${labels[i]}” was called`, rows[i].map(cell => [cell[0], cell[1], sum[i]])),
      list(`What was called “${labels[j]}”`, called.map(cell => [cell[0], cell[1], all])));
    view();
  };
  const node = (name, attributes) => {
    const made = document.createElementNS(svg.namespaceURI, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    return made;
  };
  const names = node("g", { class: "names" });
  svg.append(names);
  /* The part around the chosen cell, and where there is room the names along its edges. */
  const view = () => {
    names.replaceChildren();
    svg.classList.toggle("zoomed", zoom > 1);
    if (zoom === 1) return svg.setAttribute("viewBox", whole);
    const [, , w, h] = whole.split(" ").map(Number);
    const fit = (middle, part, all) => Math.min(Math.max(middle - part / 2, 0), all - part);
    const x = fit(left + (at[1] + .5) * size, w / zoom, w), y = fit(top + (at[0] + .5) * size, h / zoom, h);
    svg.setAttribute("viewBox", `${x} ${y} ${w / zoom} ${h / zoom}`);
    if (size * zoom < 11) return;
    const scale = 1 / zoom;
    for (let k = 0; k < count; k++) {
      const row = top + (k + .5) * size, column = left + (k + .5) * size;
      const put = (tx, ty, turn) => {
        const text = node("text", { transform: `translate(${tx} ${ty}) scale(${scale}) rotate(${turn})`, y: 4 });
        text.textContent = labels[k];
        names.append(text);
      };
      if (row > y && row < y + h * scale) put(x + 4 * scale, row, 0);
      if (column > x + 150 * scale && column < x + w * scale) put(column, y + (h - 4) * scale, -90);
    }
  };
  const cell = event => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const i = Math.floor((point.y - top) / size), j = Math.floor((point.x - left) / size);
    return i >= 0 && j >= 0 && i < count && j < count ? [i, j] : null;
  };
  svg.addEventListener("pointermove", event => { const c = cell(event); if (c) show(...c); });
  svg.addEventListener("pointerleave", () => show(...at));
  svg.addEventListener("click", event => { const c = cell(event); if (c) pick(...c); });
  svg.tabIndex = 0;
  svg.addEventListener("keydown", event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    pick(...at.map((k, axis) => Math.min(Math.max(k + step[axis] * (event.shiftKey ? 10 : 1), 0), count - 1)));
  });
  heat.querySelectorAll("button.zoom").forEach(button => {
    button.hidden = false;
    button.addEventListener("click", () => {
      zoom = Math.min(Math.max(zoom * Number(button.dataset.by), 1), 16);
      view();
    });
  });
});

/* A class's curve among the others. */
document.querySelectorAll("select.curve-of").forEach(select => {
  const curves = document.getElementById(select.dataset.of).querySelectorAll("[data-class]");
  select.hidden = select.parentElement.hidden = false;
  select.addEventListener("change", () => curves.forEach(curve =>
    curve.classList.toggle("fade", select.value !== "" && curve.dataset.class !== select.value)));
});
