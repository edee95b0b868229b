// Draws each flame graph of the page: a frame is as wide as its time with all it calls, and stands on the frame that called it.
"use strict";
const ROW = 18, NARROWEST = 0.4;
const share = (part, whole) => (100 * part / whole).toFixed(part < whole / 10 ? 2 : 1) + " %";

function areaOf(node) { // the area of most of a frame's own time; of one without, that of its widest child
  while (!node[2] && node[3].length) node = node[3].reduce((a, b) => (a[1] >= b[1] ? a : b));
  return node[2];
}

function draw(box) {
  const root = box.tree, shown = box.shown, path = box.path;
  const width = box.clientWidth, frames = [];
  path.forEach((node, depth) => frames.push([node, depth, 0, width, depth < path.length - 1]));
  let deepest = path.length;
  const place = (node, depth, left, scale) => {
    deepest = Math.max(deepest, depth + 1);
    let at = left;
    for (const child of node[3]) {
      const wide = child[1] * scale;
      if (wide >= NARROWEST) {
        frames.push([child, depth + 1, at, wide, false]);
        place(child, depth + 1, at, scale);
      }
      at += wide;
    }
  };
  place(shown, path.length - 1, 0, width / (shown[1] || 1));
  deepest = Math.max(...frames.map(frame => frame[1])) + 1;
  box.style.height = deepest * ROW + "px";
  const wanted = (document.getElementById("find") || {value: ""}).value.trim().toLowerCase();
  box.replaceChildren(...frames.map(([node, depth, left, wide, dim]) => {
    const one = document.createElement("div");
    one.style.cssText = `left:${left}px;width:${wide}px;top:${(deepest - 1 - depth) * ROW}px`;
    one.style.background = COLOURS[areaOf(node)] || "#888";
    const found = wanted && node[0].toLowerCase().includes(wanted);
    if (dim || (wanted && !found)) one.className = "dim";
    if (wide > 30) one.textContent = node[0];
    one.title = `${node[0]}\n${share(node[1], root[1])} of all, ${(node[1] / 1000).toFixed(1)} ms`;
    one.onmouseenter = () => { box.tell.textContent = `${node[0]}: ${share(node[1], root[1])} of all, ${(node[1] / 1000).toFixed(1)} ms of processor time; ${areaOf(node)}`; };
    one.onclick = () => {
      const trail = [];
      const seek = (from) => { trail.push(from); if (from === node || from[3].some(seek)) return true; trail.pop(); return false; };
      seek(root);
      box.path = trail; box.shown = node; draw(box);
    };
    return one;
  }));
}

const boxes = [...document.querySelectorAll(".flame")];
for (const box of boxes) {
  box.tree = JSON.parse(box.querySelector("script").textContent);
  box.tell = box.previousElementSibling;
  box.shown = box.tree; box.path = [box.tree];
  draw(box);
}
const redraw = () => boxes.forEach(draw);
addEventListener("resize", redraw);
if (document.getElementById("find")) document.getElementById("find").oninput = redraw;
