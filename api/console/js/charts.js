// A small chart of two lines over the last minutes, drawn as SVG.

import { el } from './dom.js';

const WIDTH = 600;
const HEIGHT = 160;
const LEFT = 56;
const POINTS_MAX = 150;

function svg(tag, attributes = {}, text = null) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** A chart; `names` are those of its lines, `format` writes a value. */
export class Chart {
  constructor(title, names, format) {
    this.points = [];
    this.title = title;
    this.names = names;
    this.format = format;
    this.drawing = svg('svg', { class: 'chart', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img' });
    const legend = el('p', { class: 'legend' },
      el('span', { class: 'first' }, names[0]), el('span', { class: 'second' }, names[1]));
    this.made = el('div', {}, this.drawing, legend);
    this.draw();
  }

  /** Adds a value for each line; `null` where there is none. */
  add(values) {
    this.points.push(values);
    if (this.points.length > POINTS_MAX) this.points.shift();
    this.draw();
  }

  draw() {
    const values = this.points.flat().filter((value) => value !== null);
    const top = Math.max(1, ...values) * 1.1;
    const y = (value) => HEIGHT - 18 - (value / top) * (HEIGHT - 30);
    const x = (at) => LEFT + ((WIDTH - LEFT - 4) * (POINTS_MAX - this.points.length + at)) / (POINTS_MAX - 1);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y((top / 1.1) * share);
      parts.push(svg('line', { class: 'axis', x1: LEFT, x2: WIDTH, y1: at, y2: at }));
      parts.push(svg('text', { x: LEFT - 6, y: at + 4, 'text-anchor': 'end' }, this.format((top / 1.1) * share)));
    }
    this.names.forEach((name, line) => {
      const drawn = this.points.map((point, at) => [point[line], at]).filter(([value]) => value !== null);
      const points = drawn.map(([value, at]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ');
      parts.push(svg('polyline', { class: line === 0 ? 'first' : 'second', points }));
    });
    this.drawing.replaceChildren(...parts);
    const last = this.points.at(-1) ?? [];
    const said = this.names.map((name, line) => `${name} ${last[line] === null || last[line] === undefined ? '–' : this.format(last[line])}`);
    this.drawing.setAttribute('aria-label', `${this.title}: ${said.join(', ')}`);
  }
}
