// Text and nodes. Whatever comes from Matrix is made by strangers: it enters
// the page through put() and el() alone, as text, never as markup.

// Controls, zero-width characters and everything that turns the direction of
// writing: they can make one name look like another, or reorder what follows.
const TRICKS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

export const clean = (s) => String(s ?? '').replace(TRICKS, '\ufffd');

export function clip(s, most) {
  const letters = Array.from(s);
  return letters.length > most ? letters.slice(0, most - 1).join('') + '…' : s;
}

/** put shows a text, cut to most letters, with the whole in the title. */
export function put(node, text, most = 0, title = '') {
  const whole = clean(text);
  const shown = most ? clip(whole, most) : whole;
  if (node.textContent !== shown) node.textContent = shown;
  const t = title || (shown !== whole ? clip(whole, 2000) : '');
  if ((node.getAttribute('title') ?? '') !== t) t ? node.setAttribute('title', t) : node.removeAttribute('title');
  return node;
}

export function el(tag, cls = '', ...children) {
  const n = document.createElement(tag);
  if (cls) n.className = cls;
  n.append(...children);
  return n;
}

export function svg(tag, attrs = {}) {
  return set(document.createElementNS('http://www.w3.org/2000/svg', tag), attrs);
}

export function set(n, attrs) {
  for (const [k, v] of Object.entries(attrs)) {
    const s = String(v);
    if (n.getAttribute(k) !== s) n.setAttribute(k, s);
  }
  return n;
}

/** keyed makes the children of parent the items, and keeps the nodes of those
 *  that were there before. */
export function keyed(parent, items, key, make, update) {
  const old = parent.__keyed ?? new Map();
  const now = new Map();
  let at = parent.firstChild;
  for (const item of items) {
    const k = key(item);
    if (now.has(k)) continue; // a stranger's data may say a thing twice
    const n = old.get(k) ?? make(item);
    old.delete(k);
    now.set(k, n);
    if (n === at) at = at.nextSibling;
    else parent.insertBefore(n, at);
    update(n, item);
  }
  for (const n of old.values()) n.remove();
  parent.__keyed = now;
}

const two = (n) => String(n).padStart(2, '0');

/** lasting writes milliseconds as people say them. */
export function lasting(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor(s / 60) % 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function wall(ms, seconds = true) {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}` + (seconds ? `:${two(d.getSeconds())}` : '');
}

export const day = (ms) => new Date(ms).toLocaleString();

export const many = (n, one, more = one + 's') => `${n} ${n === 1 ? one : more}`;
