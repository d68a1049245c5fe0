// The stream of the server's events, and the server's clock.

const SILENCE = 12_000; // two missed heartbeats and a bit, in ms
const offsets = [];
let frozen = Date.now();
let heardAt = 0;

/** now is the server's time. It stands still while the connection is lost:
 *  what we do not hear, we do not draw. */
export const now = () => frozen || Date.now() + Math.max(...offsets);

function hear(at) {
  heardAt = Date.now();
  // The event that was least delayed knows the time best.
  offsets.push(at - heardAt);
  if (offsets.length > 20) offsets.shift();
  frozen = 0;
}

/** listen calls on.state, on.media and on.link(state, since) for ever. */
export function listen(url, on) {
  let source, retry, link = 'connecting';
  const say = (state) => {
    if (state === link) return;
    if (link === 'ended' && state === 'lost') return; // it said so before it went
    if (state !== 'live' && offsets.length) {
      frozen = heardAt + Math.max(...offsets);
      offsets.length = 0;
    }
    on.link(link = state, heardAt);
  };
  const lost = (state) => {
    source.close();
    say(state);
    clearTimeout(retry);
    retry = setTimeout(open, 2000);
  };
  const open = () => {
    source = new EventSource(url);
    const take = (name, f) => source.addEventListener(name, (e) => {
      const data = JSON.parse(e.data);
      hear(data.at);
      say('live');
      f(data);
    });
    take('state', on.state);
    take('media', on.media);
    take('beat', () => {});
    source.addEventListener('bye', () => lost('ended'));
    source.addEventListener('error', () => lost('lost'));
  };
  setInterval(() => {
    if (link === 'live' && Date.now() - heardAt > SILENCE) lost('lost');
  }, 1000);
  open();
}
