// A picture to paint on: strokes are drawn here at once and handed to Python; arrow keys and the space bar do what a mouse does.
function render({ model, el }) {
  const make = (tag, more, parent = el) => parent.appendChild(Object.assign(document.createElement(tag), more));
  const [width, height] = model.get("size");
  make("div", { className: "p3m-brush-label", textContent: model.get("description") });
  const canvas = make("canvas", { width, height, tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", model.get("description") + ": arrow keys move, the space bar paints");
  canvas.style.cssText = "border:1px solid #999;cursor:crosshair;touch-action:none;max-width:100%";
  const bar = make("div", {});
  const tone = make("select", { ariaLabel: "paint" }, bar);
  for (const [name, value] of model.get("tones")) make("option", { textContent: name, value }, tone);
  make("span", { textContent: " radius " }, bar);
  const radius = make("input", { type: "range", min: 1, max: Math.round(height / 6), value: Math.round(height / 20), ariaLabel: "radius" }, bar);
  const undo = make("button", { textContent: "undo", className: "jupyter-button" }, bar);
  const clear = make("button", { textContent: "clear", className: "jupyter-button" }, bar);
  make("small", { textContent: " Without a mouse: click or tab onto the picture, arrow keys, space." }, bar);

  const pen = canvas.getContext("2d"), picture = new Image();
  let at = [width / 2, height / 2], stroke = null;

  function draw() {
    pen.clearRect(0, 0, width, height);
    pen.drawImage(picture, 0, 0, width, height);
    for (const { points, radius, tone } of [...model.get("value"), ...(stroke ? [stroke] : [])]) {
      pen.strokeStyle = `rgb(${Array(3).fill(Math.round(255 * tone))})`;
      pen.lineWidth = 2 * radius * height;
      pen.lineCap = pen.lineJoin = "round";
      pen.beginPath();
      points.forEach(([x, y], i) => pen[i ? "lineTo" : "moveTo"](x * width, y * height));
      if (points.length == 1) pen.lineTo(points[0][0] * width + 0.01, points[0][1] * height);
      pen.stroke();
    }
    pen.lineWidth = 1.5;
    pen.strokeStyle = "#e0a000";
    pen.beginPath();
    pen.arc(...at, Math.max(2, +radius.value), 0, 7);
    pen.stroke();
  }
  function save(value) {
    model.set("value", value);
    model.save_changes();
    draw();
  }
  function place(event) {
    const box = canvas.getBoundingClientRect();
    at = [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }
  const point = () => [at[0] / width, at[1] / height];
  const begun = () => ({ points: [point()], radius: +radius.value / height, tone: +tone.value });

  canvas.onpointerdown = (event) => {
    place(event);
    canvas.setPointerCapture(event.pointerId);
    stroke = begun();
    draw();
  };
  canvas.onpointermove = (event) => {
    place(event);
    if (stroke) stroke.points.push(point());
    draw();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (!stroke) return;
    const done = stroke;
    stroke = null;
    save([...model.get("value"), done]);
  };
  canvas.onkeydown = (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key != " ") return;
    event.preventDefault();
    event.stopPropagation(); // a notebook takes arrow keys for itself
    if (step) at = at.map((value, i) => Math.min([width, height][i], Math.max(0, value + (step[i] * height) / 40)));
    else save([...model.get("value"), begun()]);
    draw();
  };
  radius.oninput = draw;
  undo.onclick = () => save(model.get("value").slice(0, -1));
  clear.onclick = () => save([]);
  picture.onload = draw;
  const show = () => (picture.src = model.get("picture"));
  model.on("change:picture", show);
  model.on("change:value", draw);
  show();
}
export default { render };
