// A label map: an array of class ids with undo and redo, a brush and a bucket. It knows of no page.
class LabelMap {
  static HISTORY = 60;

  constructor(width, height, palette) {
    Object.assign(this, { width, height, palette, past: [], future: [] });
    this.ids = new Uint16Array(width * height);
    this.byColour = new Map(palette.map((colour, id) => [colour.join(), id]));
  }

  at({ x, y }) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    return inside ? { column, row, id: this.ids[row * this.width + column] } : null;
  }

  // The ids as they are now can be brought back.
  remember() {
    this.past = [...this.past.slice(1 - LabelMap.HISTORY), this.ids.slice()];
    this.future = [];
  }

  // Forget what was changed since remember(); false if that was nothing.
  takeBack() {
    const before = this.past.pop();
    const changed = this.differs(before);
    this.ids = before;
    return changed;
  }

  differs(ids) {
    return ids.some((id, i) => id !== this.ids[i]);
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  step(from, to) {
    if (!from.length) return false;
    to.push(this.ids);
    this.ids = from.pop();
    return true;
  }

  // A disc around a point; at least the pixel under it.
  stamp({ x, y }, size, id) {
    const radius = size / 2;
    const paint = (column, row) => {
      if (column >= 0 && row >= 0 && column < this.width && row < this.height) this.ids[row * this.width + column] = id;
    };
    paint(Math.floor(x), Math.floor(y));
    for (let row = Math.floor(y - radius); row <= y + radius; row++)
      for (let column = Math.floor(x - radius); column <= x + radius; column++)
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2) paint(column, row);
  }

  line(from, to, size, id) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to.x - from.x, to.y - from.y)));
    for (let i = 0; i <= steps; i++)
      this.stamp({ x: from.x + ((to.x - from.x) * i) / steps, y: from.y + ((to.y - from.y) * i) / steps }, size, id);
  }

  // The area of one class around a point, to its edges.
  fill(point, id) {
    const start = this.at(point);
    if (!start || start.id === id) return;
    const waiting = [start.row * this.width + start.column];
    while (waiting.length) {
      const i = waiting.pop();
      if (this.ids[i] !== start.id) continue;
      this.ids[i] = id;
      const column = i % this.width;
      if (column > 0) waiting.push(i - 1);
      if (column < this.width - 1) waiting.push(i + 1);
      if (i >= this.width) waiting.push(i - this.width);
      if (i < this.ids.length - this.width) waiting.push(i + this.width);
    }
  }

  counts() {
    const counts = new Uint32Array(this.palette.length);
    for (const id of this.ids) counts[id]++;
    return counts;
  }

  // In the palette's colours, exactly.
  drawOn(context) {
    const image = context.createImageData(this.width, this.height);
    this.ids.forEach((id, i) => image.data.set([...this.palette[id], 255], 4 * i));
    context.putImageData(image, 0, 0);
  }

  // Class ids of a picture in the palette's colours.
  async read(source) {
    const { width, height } = this;
    const image = new Image();
    image.src = source;
    await image.decode();
    const scratch = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
    scratch.imageSmoothingEnabled = false;
    scratch.drawImage(image, 0, 0, width, height);
    const { data } = scratch.getImageData(0, 0, width, height);
    return this.ids.map((_, i) => this.nearest(data[4 * i], data[4 * i + 1], data[4 * i + 2]));
  }

  // Some browsers falsify, by a little, what is read from a canvas.
  nearest(r, g, b) {
    const exact = this.byColour.get(`${r},${g},${b}`);
    if (exact !== undefined) return exact;
    const distances = this.palette.map(([x, y, z]) => (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2);
    return distances.indexOf(Math.min(...distances));
  }
}
