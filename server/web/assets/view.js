// What the page says in words and numbers: notes, cards of sessions, tables of
// members, lists. It shows the last state that it was given, as text.
import { el, svg, set, put, keyed, lasting, wall, day, many, clean, clip } from './text.js';
import { Timeline, FATES, swatch, fate, why, tell } from './timeline.js';

const $ = (id) => document.getElementById(id);
const who = (x) => JSON.stringify([x.room_id, x.user_id, x.device_id || x.member_id]);
const place = (x) => JSON.stringify([x.room_id, x.slot_id]);
const DIALECTS = {
  slot: 'sticky m.rtc.member, 2026', sticky: 'sticky org.matrix.msc4143.rtc.member, 2025',
  call: 'state org.matrix.msc3401.call.member', draft: 'state m.rtc.member, the May-2024 draft',
  array: 'state, an array of memberships per user', famedly: 'com.famedly.call.member',
};

/** since and until are times that main's tick keeps up to date. */
function time(node, kind, ms) {
  node.dataset[kind] = ms;
  node.title = day(ms);
  return node;
}

export function tickTimes(now, root = document) {
  for (const n of root.querySelectorAll('[data-since]')) put(n, lasting(now - n.dataset.since), 0, n.title);
  for (const n of root.querySelectorAll('[data-until]')) {
    const left = n.dataset.until - now;
    put(n, left > 0 ? lasting(left) : 'time is over', 0, n.title);
    n.classList.toggle('soon', left < 5000);
  }
}

/** cards joins sessions and stays: a session that has just ended keeps its
 *  card as long as the timeline reaches back to it. */
export function cards(state, now, span) {
  const all = new Map();
  for (const s of state.sessions) all.set(place(s), { ...s, key: place(s), live: true, stays: [] });
  for (const t of state.stays) {
    const key = place(t);
    if (!all.has(key)) {
      if (t.end_ts == null || t.end_ts < now - span) continue;
      all.set(key, { key, live: false, room_id: t.room_id, slot_id: t.slot_id, application: t.application, members: [], stays: [] });
    }
    all.get(key).stays.push(t);
  }
  return [...all.values()].sort((a, b) => b.live - a.live);
}

function head(n, label, cls = '') {
  const th = el('th', cls);
  th.scope = 'col';
  th.setAttribute('role', 'columnheader');
  th.textContent = label;
  n.append(th);
}

function newCard() {
  const n = el('section', 'card session');
  const p = n.parts = { room: el('bdi'), app: el('span', 'badge'), facts: el('p', 'facts'), warn: el('p', 'warn'), line: new Timeline(), rows: el('tbody'), more: el('p', 'muted more') };
  const row = el('tr');
  const heads = el('thead', '', row);
  for (const [label, cls] of [['Member'], ['In since'], ['Dialect'], ['Transport'], ['Receives', 'wide'], ['Expires in', 'end']]) head(row, label, cls);
  p.table = el('table', '', heads, p.rows);
  for (const [x, role] of [[p.table, 'table'], [heads, 'rowgroup'], [p.rows, 'rowgroup'], [row, 'row']]) x.setAttribute('role', role);
  n.append(el('header', '', el('h2', '', p.room), p.app, p.facts), p.warn, p.line.node, p.table, p.more);
  return n;
}

function fact(label, node) {
  return el('span', 'fact', el('span', 'key', label + ' '), node);
}

function updateCard(n, s, state, now, span) {
  const p = n.parts, room = state.rooms.find((r) => r.room_id === s.room_id);
  put(p.room, room?.name || s.room_id, 80, clip(clean(s.room_id), 600));
  const known = s.live ? s.application_known : s.application === 'm.call';
  put(p.app, (known ? '' : 'unknown application ') + s.application, 60, known ? 'application' : 'nobody here knows this application; it is listed all the same');
  p.app.classList.toggle('odd', !known);
  n.classList.toggle('over', !s.live);
  n.dataset.slot = clip(clean(s.slot_id), 200);
  const facts = [fact('slot', put(el('code'), s.slot_id, 40))];
  if (s.live) {
    facts.push(fact('for', time(el('span', 'num'), 'since', s.since_ts)), fact('', put(el('span', 'num'), `${many(s.devices, 'device')} of ${many(s.users, 'user')}`)));
    facts.push(fact('intent', put(el('span'), s.intent ?? 'not stated', 30)));
  } else facts.push(fact('ended', el('span', 'ago', time(el('span', 'num'), 'since', Math.max(...s.stays.map((t) => t.end_ts ?? 0))), ' ago')));
  p.facts.replaceChildren(...facts);
  const lost = s.members.filter((m) => !m.reachable).length;
  p.warn.hidden = !lost;
  put(p.warn, lost ? `${many(lost, 'member')} cannot be reached from here: ${lost === 1 ? 'its transport is' : 'their transports are'} not known, or none is stated.` : '');
  p.table.hidden = !s.live;
  const shown = s.members.slice(0, 200);
  n.classList.toggle('dense', shown.length > 30);
  keyed(p.rows, shown, (m) => who({ ...m, room_id: s.room_id }), newRow, (r, m) => updateRow(r, m, s));
  put(p.more, s.members.length > shown.length ? `and ${s.members.length - shown.length} more members: see status.json` : '');
  p.line.update(s.stays, now, span);
  tickTimes(now, n);
}

function newRow() {
  const n = el('tr', 'member');
  n.setAttribute('role', 'row');
  const cell = (label, cls, ...kids) => {
    const td = el('td', cls, ...kids);
    td.setAttribute('role', 'cell');
    td.dataset.label = label;
    n.append(td);
  };
  const p = n.parts = { user: el('bdi', 'user'), device: el('bdi', 'device'), since: el('span', 'num'), sure: el('span', 'detail'), dialect: el('span', 'badge'), kind: el('span'), detail: el('span', 'detail'), got: el('span', 'num got'), parts: el('span', 'num detail'), spark: svg('svg', { class: 'spark', width: 88, height: 22, viewBox: '0 0 88 22', 'aria-hidden': 'true' }), expires: el('span', 'num') };
  p.area = svg('path', { class: 'area' });
  p.stroke = svg('path', { class: 'stroke' });
  p.spark.append(p.area, p.stroke);
  cell('Member', 'name', p.user, p.device);
  cell('In since', '', el('span', '', p.since, p.sure));
  cell('Dialect', '', p.dialect);
  cell('Transport', 'transport', el('span', '', p.kind, p.detail));
  cell('Receives', 'receives', el('span', 'flow', el('span', '', p.got, p.parts), p.spark));
  cell('Expires in', 'end', p.expires);
  return n;
}

function updateRow(n, m, s) {
  const p = n.parts;
  n.key = who({ ...m, room_id: s.room_id });
  put(p.user, m.user_id, 60);
  put(p.device, m.device_id || m.member_id, 40);
  const stay = s.stays.find((t) => t.end_ts == null && t.user_id === m.user_id && t.device_id === m.device_id && (m.device_id || t.member_id === m.member_id));
  time(p.since, 'since', stay?.start_ts ?? m.created_ts);
  put(p.sure, stay && !stay.start_uncertain ? '' : 'by its own account');
  put(p.dialect, m.dialect, 20, DIALECTS[m.dialect] ?? '');
  const raw = m.transport ?? {};
  const odd = m.transport != null && !m.transport_known;
  put(p.kind, m.transport == null ? 'none stated' : odd ? 'unknown transport' : m.transport_kind, 40);
  p.kind.className = odd ? 'badge odd' : '';
  let detail = odd ? m.transport_kind : raw.livekit_service_url ?? '';
  if (!odd && m.transport != null && !m.reachable) detail = `cannot be reached ${detail}`;
  put(p.detail, String(detail).replace(/^https?:\/\//, ''), 44, clip(clean(JSON.stringify(raw)), 1000));
  n.classList.toggle('unreachable', !m.reachable);
  if (m.expires_at == null) {
    delete p.expires.dataset.until;
    p.expires.classList.remove('soon');
    put(p.expires, 'never');
  } else time(p.expires, 'until', m.expires_at);
}

const bits = (b) => (b >= 1e6 ? `${(b / 1e6).toFixed(1)} Mbit/s` : `${Math.round(b / 1e3)} kbit/s`);
const frames = (r) => [r.audio_packets && `${Math.round(r.audio_packets)} audio/s`, r.video_frames && `${Math.round(r.video_frames)} video/s`].filter(Boolean).join(' · ');

export function drawMedia(list) {
  const by = new Map(list.map((m) => [who(m), m]));
  for (const n of document.querySelectorAll('tr.member')) {
    const m = by.get(n.key), p = n.parts;
    n.classList.toggle('quiet', !m?.rate);
    if (!m?.rate) {
      put(p.got, m ? 'no count of late' : '—', 0, m ? '' : 'what this member receives is not counted here');
      put(p.parts, '');
      set(p.stroke, { d: '' });
      set(p.area, { d: '' });
      continue;
    }
    const from = m.from.map((f) => `from ${clip(clean(f.user_id), 80)} ${clip(clean(f.device_id || f.member_id), 40)}: ${f.rate ? [bits(f.rate.bits), frames(f.rate)].filter(Boolean).join(' · ') : 'not counted of late'}`);
    if (m.from_more) from.push(`and ${m.from_more} more`);
    from.unshift('audio packets, whole video frames and payload per second');
    put(p.got, bits(m.rate.bits), 0, from.join('\n'));
    put(p.parts, frames(m.rate), 0, from.join('\n'));
    const top = Math.max(...m.history, 1), step = 88 / 39;
    const points = m.history.slice(-40).map((v, i, a) => `${(88 - (a.length - 1 - i) * step).toFixed(1)} ${(20.5 - (18 * v) / top).toFixed(1)}`);
    set(p.stroke, { d: points.length > 1 ? `M${points.join('L')}` : '' });
    set(p.area, { d: points.length > 1 ? `M${points.join('L')}L88 22L${points[0].split(' ')[0]} 22Z` : '' });
  }
}

/** happenings are the joins, ends and notes of late, newest first. */
function happenings(state) {
  const all = state.notes.map((x) => ({ key: `n${x.at}${x.text}`, at: x.at, kind: x.level, text: x.text + (x.count > 1 ? ` (${x.count} times)` : '') }));
  const again = (t, end) => `${who(t)} ${end}`;
  const replaced = new Set(state.stays.filter((t) => t.cause === 'replaced').map((t) => again(t, t.end_ts)));
  for (const t of state.stays) {
    const app = t.application === 'm.call' ? '' : ` (${clip(clean(t.application), 40)})`;
    all.push({ key: `s${t.id}`, at: t.start_uncertain ? t.seen_ts : t.start_ts, kind: 'here', who: t, text: (t.start_uncertain ? 'was already there' : replaced.has(again(t, t.start_ts)) ? 'joined anew' : 'joined') + app });
    if (t.end_ts != null && t.cause !== 'replaced') all.push({ key: `e${t.id}`, at: t.end_ts, kind: fate(t), who: t, text: `${why(t)}${app} · stayed ${lasting(t.end_ts - t.start_ts)}` });
  }
  return all.sort((a, b) => b.at - a.at).slice(0, 10);
}

export function drawLists(state) {
  const list = happenings(state);
  $('lately-card').hidden = !list.length;
  keyed($('lately'), list, (h) => h.key, () => el('li', '', el('time', 'num'), el('i', 'dot'), el('bdi', 'user'), el('span', 'said')), (n, h) => {
    n.dataset.kind = h.kind;
    put(n.children[0], wall(h.at), 0, day(h.at));
    put(n.children[2], h.who ? h.who.user_id : '', 60, h.who ? tell(h.who) : '');
    put(n.children[3], h.text, 240);
  });
  const room = (id) => state.rooms.find((r) => r.room_id === id)?.name || id;
  $('invalid-card').hidden = !state.invalid_total;
  put($('invalid-title'), `${many(state.invalid_total, 'event')} ${state.invalid.some((i) => i.counted) ? 'with problems' : 'not valid'}`);
  keyed($('invalid'), state.invalid, (i) => i.room_id + i.event_id, () => el('li', '', el('code'), el('span', 'muted'), el('ul')), (n, i) => {
    put(n.children[0], i.event_id, 60);
    put(n.children[1], ` in ${clip(clean(room(i.room_id)), 60)}${i.counted ? ', counted all the same' : ', not counted'}`, 90);
    keyed(n.children[2], i.problems ?? [], (p) => JSON.stringify(p), () => el('li', '', el('code'), el('span'), el('span', 'muted')), (m, p) => {
      put(m.children[0], p.field || 'event', 60);
      put(m.children[1], ' ' + p.problem, 300);
      put(m.children[2], p.source ? ` — ${p.source}` : '', 120);
    });
  });
  const dark = state.unreadable ?? [];
  $('unreadable-card').hidden = !dark.length;
  put($('unreadable-title'), `${many(dark.length, 'encrypted event')} not readable`);
  keyed($('unreadable'), dark, (u) => u.room_id + u.event_id, () => el('li', '', el('code'), el('span', 'muted')), (n, u) => {
    put(n.children[0], u.event_id, 60);
    put(n.children[1], ' in ' + clean(room(u.room_id)), 60);
  });
}

export function drawTop(state, now) {
  const devices = state.sessions.reduce((n, s) => n + s.devices, 0);
  const text = `${many(state.sessions.length, 'session')} · ${many(devices, 'device')} · ${many(state.rooms.length, 'room')} watched`;
  put($('site'), state.site, 60);
  put($('summary'), text);
  $('pages').hidden = !state.history;
  document.title = `${many(state.sessions.length, 'session')}, ${many(devices, 'device')} – ${clip(clean(state.site), 60)}`;
  keyed($('banners'), state.conditions, (c) => c.text, () => el('p', 'banner', el('span'), el('span', 'for')), (n, c) => {
    n.dataset.level = c.level;
    n.setAttribute('role', c.level === 'info' ? 'status' : 'alert');
    put(n.firstChild, c.text, 400);
    n.lastChild.replaceChildren(' · for ', time(el('span', 'num'), 'since', c.at));
    tickTimes(now, n);
  });
}

export function drawCards(state, now, span) {
  const list = cards(state, now, span);
  keyed($('sessions'), list, (s) => s.key, newCard, (n, s) => updateCard(n, s, state, now, span));
  $('toolbar').hidden = !list.length;
  $('empty').hidden = list.length > 0;
  const hidden = state.rooms.some((r) => r.encrypted) ? ' Encrypted memberships cannot be read yet and do not count.' : '';
  put($('empty-title'), state.rooms.length ? 'Nobody is in a session' : 'No room is watched yet');
  put($('empty-text'), state.rooms.length
    ? `${many(state.rooms.length, 'room')} watched, and no device in ${state.rooms.length === 1 ? 'it' : 'them'} says that it takes part in anything. A session shows up here the moment one does.${hidden}`
    : 'When this program follows a room, the sessions in it show up here by themselves.');
}

export function drawLegend() {
  for (const [kind, label] of [...Object.entries(FATES), ['uncertain', 'start not seen']]) {
    $('legend').append(el('li', '', swatch(kind), label));
  }
}
