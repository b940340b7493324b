// Elements from texts: no markup is ever made of what the server or a user says.

/** An element with attributes (`null` and `false` are left out), listeners (by event, under
 * `on`), and children: elements or texts. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? '' : value);
    }
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** A card under a heading. */
export function card(title, ...children) {
  return el('section', { class: 'card' }, el('h2', {}, title), ...children);
}

/** Pairs of a name and a value; pairs without a value are left out. */
export function facts(pairs) {
  const list = el('dl');
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === '') continue;
    list.append(el('dt', {}, name), el('dd', {}, value));
  }
  return list;
}

/** A table that scrolls within itself. Columns: `{title, number}`; rows: lists of cells. */
export function table(label, columns, rows) {
  const head = columns.map(({ title, number }) =>
    el('th', { scope: 'col', class: number ? 'number' : null }, title));
  const body = el('tbody');
  const grid = el('table', {}, el('thead', {}, el('tr', {}, ...head)), body);
  const add = (more) => {
    for (const cells of more) {
      body.append(el('tr', {}, ...cells.map((cell, at) =>
        el('td', { class: columns[at].number ? 'number' : null }, cell))));
    }
  };
  add(rows);
  // Reached by keyboard, so that it can be scrolled by it.
  const made = el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, grid);
  return { made, add };
}

/** A field of a form under its label. */
export function field(label, input) {
  return el('label', {}, el('span', {}, label), input);
}

/** A selection; options: pairs of value and text. */
export function select(name, options, chosen = '') {
  return el('select', { name }, ...options.map(([value, text]) =>
    el('option', { value, selected: value === chosen }, text)));
}
