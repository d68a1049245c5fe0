// The timeline of stays: one row per device, bars from join to end. It moves
// by one transform per tick; only bars of the living change their width.
import { svg, set, el, put, keyed, wall, lasting, clean, clip } from './text.js';

/** What became of a stay: the page's classes of the causes of an end. */
export const FATES = {
  here: 'there now',
  left: 'left',
  moved: 'rejoined or moved on',
  expired: 'fell silent, expired',
  removed: 'ended by others',
};
const CAUSES = {
  leave: ['left', 'left'],
  switch: ['moved', 'went to another session'],
  replaced: ['moved', 'joined anew'],
  expired: ['expired', 'fell silent: its membership expired'],
  sticky_end: ['expired', 'fell silent: its event stuck no more'],
  redacted: ['removed', 'its event was redacted'],
  left_room: ['removed', 'left the room, was kicked or banned'],
  overwritten: ['removed', 'somebody else wrote over it'],
  slot_closed: ['removed', 'the slot was closed'],
  gone: ['removed', 'is no longer in the room’s state'],
  invalid: ['removed', 'its new event is not valid'],
};
export const fate = (s) => (s.end_ts == null ? 'here' : (CAUSES[s.cause] ?? ['removed'])[0]);
export const why = (s) => (CAUSES[s.cause] ?? [0, clip(clean(s.cause), 40)])[1];

const PAD = 14; // px right of now, for the heads of the living
const MOST = 150; // rows
const STEPS = [5, 10, 15, 30, 60, 120, 300, 600].map((s) => s * 1000);

/** cap draws the end of a bar: its shape alone tells the fate. */
function cap(kind, x, mid) {
  switch (kind) {
    case 'left': return svg('path', { class: 'cap', d: `M${x} ${mid - 9}v18` });
    case 'moved': return svg('path', { class: 'cap full', d: `M${x - 1} ${mid - 8}l9 8l-9 8z` });
    case 'expired': return svg('path', { class: 'cap', d: `M${x - 5} ${mid - 5}l10 10m0-10l-10 10` });
    case 'removed': return svg('path', { class: 'cap full', d: `M${x} ${mid - 8}l7 8l-7 8l-7-8z` });
  }
  return svg('circle', { class: 'cap full head', cx: x, cy: mid, r: 4.5 });
}

/** swatch is a fate's bar in miniature, for the legend. */
export function swatch(kind) {
  const s = svg('svg', { class: `swatch bar ${kind}`, width: 44, height: 20, 'aria-hidden': 'true' });
  const solid = kind === 'expired' ? 16 : 32;
  if (kind === 'uncertain') {
    s.append(svg('rect', { class: 'unsure', x: 2, y: 5.5, width: 20, height: 9 }), svg('rect', { class: 'body', x: 22, y: 5, width: 18, height: 10 }));
    return s;
  }
  s.append(svg('rect', { class: 'body', x: 2, y: 5, width: solid, height: 10, rx: 2 }));
  if (kind === 'expired') s.append(svg('rect', { class: 'tail', x: 18, y: 5, width: 16, height: 10, fill: 'url(#hatch)' }));
  s.append(cap(kind, 34, 10));
  return s;
}

export class Timeline {
  constructor() {
    this.labels = el('div', 'labels');
    this.bars = svg('g', { class: 'bars' });
    this.ticks = svg('g', { class: 'ticks' });
    this.edge = svg('line', { class: 'now' });
    this.svg = svg('svg', { class: 'plot', role: 'img' });
    this.svg.append(this.ticks, this.edge, this.bars);
    this.more = el('p', 'muted more');
    this.node = el('div', 'timeline', el('div', 'grid', this.labels, this.svg), this.more);
    this.stays = [];
    this.width = 0;
    new ResizeObserver(([e]) => {
      this.width = Math.floor(e.contentRect.width);
      this.draw(this.now, this.span);
    }).observe(this.svg);
  }

  update(stays, now, span) {
    this.stays = stays;
    this.draw(now, span);
  }

  draw(now, span) {
    Object.assign(this, { now, span, base: now });
    const recent = this.stays.filter((s) => s.end_ts == null || s.end_ts > now - span);
    const rows = new Map();
    for (const s of recent) {
      const k = `${s.user_id}\n${s.device_id || s.member_id}`;
      if (!rows.has(k)) rows.set(k, { k, stay: s, stays: [] });
      rows.get(k).stays.push(s);
    }
    const shown = [...rows.values()].slice(0, MOST);
    this.row = shown.length > 30 ? 20 : 28;
    put(this.more, rows.size > MOST ? `and ${rows.size - MOST} more devices: see status.json` : '');
    keyed(this.labels, shown, (r) => r.k, () => el('div', 'label', el('bdi', 'user'), el('bdi', 'device')), (n, r) => {
      n.style.height = n.style.lineHeight = `${this.row}px`;
      put(n.firstChild, r.stay.user_id, 60);
      put(n.lastChild, r.stay.device_id || r.stay.member_id, 40);
      n.title = clip(clean(`${r.stay.user_id} ${r.stay.device_id || r.stay.member_id}`), 600);
    });
    if (!this.width) return;
    this.perMs = (this.width - PAD) / span;
    const height = shown.length * this.row;
    set(this.svg, { width: this.width, height: height + 24, viewBox: `0 0 ${this.width} ${height + 24}`, 'aria-label': this.describe(recent) });
    set(this.edge, { x1: this.width - PAD, x2: this.width - PAD, y1: 0, y2: height });
    const flat = shown.flatMap((r, i) => r.stays.map((stay) => ({ stay, mid: (i + 0.5) * this.row })));
    flat.sort((a, b) => b.stay.start_ts - a.stay.start_ts); // the end of one stays visible on the start of the next
    keyed(this.bars, flat, (b) => b.stay.id, () => svg('g'), (g, b) => this.bar(g, b));
    this.axis(height);
    this.tick(now);
  }

  /** bar draws one stay in the moving group: x = 0 is this.base. */
  bar(g, { stay, mid }) {
    const x = (t) => Math.max(t - this.base, -2 * this.span) * this.perMs;
    const kind = fate(stay), thick = this.row > 24 ? 12 : 9, y = mid - thick / 2;
    const end = stay.end_ts ?? this.now;
    const sure = Math.min(stay.start_uncertain ? stay.seen_ts : stay.start_ts, end);
    const solid = kind === 'expired' ? Math.max(sure, Math.min(stay.heard_ts, end)) : end;
    const rect = (cls, from, to, more) => svg('rect', { class: cls, x: x(from), y, height: thick, width: Math.max(x(to) - x(from), 1), ...more });
    set(g, { class: `bar ${kind}${stay.start_uncertain ? ' uncertain' : ''}`, 'data-stay': stay.id });
    g.stay = stay;
    g.replaceChildren(svg('rect', { class: 'touch', x: x(stay.start_ts) - 4, y: mid - this.row / 2, height: this.row, width: x(end) - x(stay.start_ts) + 12 }));
    if (sure > stay.start_ts) g.append(rect('unsure', stay.start_ts, sure));
    const body = rect('body', sure, solid, { rx: sure > stay.start_ts ? 0 : 2.5 });
    g.append(body);
    if (solid < end) g.append(rect('tail', solid, end, { fill: 'url(#hatch)' }));
    if (stay.end_ts != null) g.append(cap(kind, x(end), mid));
    else {
      g.head = cap('here', x(end), mid);
      g.append(g.head);
      g.body = body;
      g.from = x(sure);
    }
  }

  axis(height) {
    const step = STEPS.find((s) => s * this.perMs > 86) ?? STEPS.at(-1);
    const marks = [];
    // A day's marks fall on whole minutes of the viewer's clock.
    for (let t = Math.ceil((this.base - this.span * 1.1) / step) * step; t < this.base + 61_000; t += step) marks.push(t);
    keyed(this.ticks, marks, (t) => t, () => {
      const g = svg('g');
      g.append(svg('line'), svg('text'));
      return g;
    }, (g, t) => {
      const x = (t - this.base) * this.perMs;
      set(g.firstChild, { x1: x, x2: x, y1: 0, y2: height + 4 });
      g.x = x;
      set(g.lastChild, { x, y: height + 18 }).textContent = wall(t, step < 60_000);
    });
  }

  tick(now) {
    if (!this.width) return;
    if (now - this.base > 60_000 || now < this.base) return this.draw(now, this.span);
    this.now = now;
    const gone = (now - this.base) * this.perMs;
    const move = { transform: `translate(${(this.width - PAD - gone).toFixed(2)} 0)` };
    set(this.bars, move);
    set(this.ticks, move);
    for (const g of this.ticks.children) { // no time of day is cut in half
      const x = g.x - gone + this.width - PAD;
      g.lastChild.style.opacity = Math.max(0, Math.min(1, (x - 24) / 16, (this.width - 24 - x) / 16)).toFixed(2);
    }
    for (const g of this.bars.children) {
      if (g.stay.end_ts != null) continue;
      g.body.setAttribute('width', Math.max(gone - g.from, 1).toFixed(2));
      g.head.setAttribute('cx', gone.toFixed(2));
      g.firstChild.setAttribute('width', (gone - g.from + 12).toFixed(2));
    }
  }

  describe(stays) {
    const n = Object.keys(FATES).map((k) => [stays.filter((s) => fate(s) === k).length, FATES[k]]);
    return 'Timeline of stays: ' + (n.filter(([c]) => c).map(([c, t]) => `${c} ${t}`).join(', ') || 'none');
  }
}

/** tell says a stay in words; line by line in a tooltip. */
export function tell(s, now) {
  const lines = [`${clip(clean(s.user_id), 120)} · ${clip(clean(s.device_id || s.member_id), 80)}`];
  const since = s.start_uncertain ? `there before we looked at ${wall(s.seen_ts)}; says since ${wall(s.start_ts)}` : `joined ${wall(s.start_ts)}`;
  lines.push(since + (now && s.end_ts == null ? `, ${lasting(now - s.start_ts)} ago` : ''));
  if (s.end_ts != null) lines.push(`ended ${wall(s.end_ts)} after ${lasting(s.end_ts - s.start_ts)}: ${why(s)}`);
  if (fate(s) === 'expired') lines.push(`last heard of ${wall(s.heard_ts)}`);
  lines.push(`dialect ${clip(clean(s.dialect), 40)} · ${s.transport_kind ? clip(clean(s.transport_kind), 80) : 'no transport'}`);
  return lines.join('\n');
}
