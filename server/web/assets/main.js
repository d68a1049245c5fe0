// The page: takes the stream, keeps the clock, redraws what has changed.
import { listen, now } from './stream.js';
import { put, el, wall, day, lasting, set } from './text.js';
import { drawCards, drawLists, drawLegend, drawMedia, drawTop, tickTimes } from './view.js';
import { tell } from './timeline.js';

const $ = (id) => document.getElementById(id);
const SPANS = [[60, '1 min'], [180, '3 min'], [600, '10 min']];
const calm = matchMedia('(prefers-reduced-motion: reduce)');
let state = null, media = [], span = 180_000, link = 'connecting', since = 0;

const lines = () => [...$('sessions').children].map((n) => n.parts.line);

function draw() {
  if (!state) return;
  drawTop(state, now());
  drawCards(state, now(), span);
  drawLists(state);
  drawMedia(media);
}

function drawLink() {
  const text = {
    connecting: 'connecting…', live: 'live',
    ended: `the server ended ${lasting(Date.now() - since)} ago, trying again`,
    lost: since ? `connection lost ${lasting(Date.now() - since)} ago, trying again` : 'no connection, trying again',
  }[link];
  const n = $('link');
  // Said aloud when it changes, not as it counts.
  n.setAttribute('aria-live', n.dataset.link === link ? 'off' : 'polite');
  put(n, text);
  n.dataset.link = link;
  document.body.classList.toggle('stale', link !== 'live');
}

for (const [seconds, label] of SPANS) {
  const b = el('button', '', label);
  b.type = 'button';
  b.addEventListener('click', () => {
    span = seconds * 1000;
    for (const x of $('spans').children) set(x, { 'aria-pressed': x === b });
    draw();
  });
  set(b, { 'aria-pressed': seconds * 1000 === span });
  $('spans').append(b);
}

const tip = $('tip');
let over = null;
document.addEventListener('pointermove', (e) => {
  over = e.target.closest?.('[data-stay]');
  tip.hidden = !over;
  if (!over) return;
  put(tip, '').textContent = tell(over.stay, now());
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(e.clientX + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${e.clientY + box.height + 24 > innerHeight ? e.clientY - box.height - 12 : e.clientY + 16}px`;
});
document.addEventListener('keydown', (e) => { if (e.key === 'Escape') tip.hidden = true; });

// The server does not know in which time zone its reader lives.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) $('history').href = `history?tz=${encodeURIComponent(zone)}`;

drawLegend();
listen('status/events', {
  state: (s) => { state = s; draw(); second(); },
  media: (m) => { media = m.media; drawMedia(media); },
  link: (l, at) => { link = l; since = at; second(); },
});

function second() {
  drawLink();
  if (!state) return;
  put($('clock'), wall(now()), 0, day(now()));
  tickTimes(now());
  if (calm.matches) lines().forEach((l) => l.tick(now()));
}
setInterval(second, 1000);

let last = 0;
function frame(at) {
  requestAnimationFrame(frame);
  if (calm.matches || at - last < 50) return;
  last = at;
  lines().forEach((l) => l.tick(now()));
}
requestAnimationFrame(frame);
