// Runs in the page of Element Call before it does, and keeps what a test wants to
// see of it.
"use strict";

// All connections for media.
window.connections = [];
window.RTCPeerConnection = class extends window.RTCPeerConnection {
  constructor(...args) {
    super(...args);
    window.connections.push(this);
  }
};

// What it has asked of authorization services: where, what was said of a delayed
// leave, and the status of the answer.
window.asked = [];
const plainFetch = window.fetch;
window.fetch = async (resource, options) => {
  const url = new URL(resource.url ?? resource, location.href);
  const note = { path: url.pathname };
  if (/\/(sfu\/get|get_token|delegate_delayed_leave)$/.test(url.pathname)) {
    window.asked.push(note);
    if (options?.body) {
      const { delay_id, delay_timeout, delay_cs_api_url } = JSON.parse(options.body);
      Object.assign(note, { delay_id, delay_timeout, delay_cs_api_url });
    }
  }
  const answer = await plainFetch(resource, options);
  note.status = answer.status;
  return answer;
};
