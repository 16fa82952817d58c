// A label map: an array of class ids, with a brush, a bucket, rectangles and outlines. It knows of no page.
class LabelMap {
  constructor(width, height, palette) {
    Object.assign(this, { width, height, palette });
    this.ids = new Uint16Array(width * height);
    this.byColour = new Map(palette.map((colour, id) => [colour.join(), id]));
  }

  at({ x, y }) {
    const [column, row] = [Math.floor(x), Math.floor(y)];
    return this.holds(column, row) ? { column, row, id: this.ids[row * this.width + column] } : null;
  }

  holds(column, row) {
    return column >= 0 && row >= 0 && column < this.width && row < this.height;
  }

  paint(column, row, id) {
    if (this.holds(column, row)) this.ids[row * this.width + column] = id;
  }

  // A disc around a point; at least the pixel under it.
  stamp({ x, y }, size, id) {
    const radius = size / 2;
    this.paint(Math.floor(x), Math.floor(y), id);
    for (let row = Math.floor(y - radius); row <= y + radius; row++)
      for (let column = Math.floor(x - radius); column <= x + radius; column++)
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= radius ** 2) this.paint(column, row, id);
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

  // All pixels from one corner to another, those under both included.
  rectangle(from, to, id) {
    const [left, right] = [from.x, to.x].map(Math.floor).sort((a, b) => a - b);
    const [top, bottom] = [from.y, to.y].map(Math.floor).sort((a, b) => a - b);
    for (let row = top; row <= bottom; row++) for (let column = left; column <= right; column++) this.paint(column, row, id);
  }

  // What an outline through points encloses, and the pixels under it.
  outline(points, id) {
    const closed = points.map((point, i) => [point, points[(i + 1) % points.length]]);
    for (const [from, to] of closed) this.line(from, to, 1, id);
    for (let row = 0; row < this.height; row++) {
      const y = row + 0.5;
      const crossings = closed
        .filter(([from, to]) => from.y <= y !== to.y <= y)
        .map(([from, to]) => from.x + ((y - from.y) / (to.y - from.y)) * (to.x - from.x))
        .sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2)
        for (let column = Math.ceil(crossings[i] - 0.5); column + 0.5 <= crossings[i + 1]; column++) this.paint(column, row, id);
    }
  }

  // Left becomes right.
  flip() {
    for (let row = 0; row < this.height; row++) this.ids.subarray(row * this.width, (row + 1) * this.width).reverse();
  }

  counts() {
    const counts = new Uint32Array(this.palette.length);
    for (const id of this.ids) counts[id]++;
    return counts;
  }

  // In the palette's colours, exactly.
  drawOn(context, ids = this.ids) {
    const image = context.createImageData(this.width, this.height);
    for (let i = 0; i < ids.length; i++) {
      const [red, green, blue] = this.palette[ids[i]];
      image.data[4 * i] = red;
      image.data[4 * i + 1] = green;
      image.data[4 * i + 2] = blue;
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  // Class ids as a PNG in the palette's colours.
  picture(ids) {
    const context = this.scratch();
    this.drawOn(context, ids);
    return context.canvas.toDataURL("image/png");
  }

  // Class ids of a picture in the palette's colours.
  async read(source) {
    const { width, height } = this;
    const image = new Image();
    image.src = source;
    await image.decode();
    const context = this.scratch();
    context.imageSmoothingEnabled = false;
    context.drawImage(image, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    return this.ids.map((_, i) => this.nearest(data[4 * i], data[4 * i + 1], data[4 * i + 2]));
  }

  scratch() {
    const { width, height } = this;
    return Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  }

  // Some browsers falsify, by a little, what is read from a canvas.
  nearest(r, g, b) {
    const exact = this.byColour.get(`${r},${g},${b}`);
    if (exact !== undefined) return exact;
    const distances = this.palette.map(([x, y, z]) => (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2);
    return distances.indexOf(Math.min(...distances));
  }
}
