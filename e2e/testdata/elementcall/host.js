// The part of a Matrix client that hosts a widget: one room, one widget, no
// encryption. What it is told comes in the fragment of the address, as JSON:
// {base, token, user, device, room, service, params}.
"use strict";

const me = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const frame = document.getElementById("widget");

// What a test looks at.
window.heard = { voices: 0, pictures: 0, frames: 0 };
window.actions = [];
window.failures = [];

class MatrixError extends Error {
  constructor(status, url, body) {
    super(`${status} ${body.errcode} ${body.error}`);
    this.details = { http_status: status, http_headers: {}, url, response: body };
  }
}

let transactions = 0;

async function request(method, path, body) {
  const url = me.base + "/_matrix/client/" + path;
  const answer = await fetch(url, {
    method,
    headers: { authorization: "Bearer " + me.token, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const json = await answer.json().catch(() => ({ errcode: "M_NOT_JSON", error: "no JSON" }));
  if (!answer.ok) {
    window.failures.push(`${method} ${path}: ${answer.status} ${JSON.stringify(json)}`);
    throw new MatrixError(answer.status, url, json);
  }
  return json;
}

const escape = encodeURIComponent;
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

function sendPath(type, stateKey, query) {
  const q = new URLSearchParams(query).toString();
  const end = q ? "?" + q : "";
  if (stateKey !== null && stateKey !== undefined) {
    return `v3/rooms/${escape(me.room)}/state/${escape(type)}/${escape(stateKey)}${end}`;
  }
  return `v3/rooms/${escape(me.room)}/send/${escape(type)}/host-${Date.now()}-${transactions++}${end}`;
}

const delayed = (id, action) =>
  request("POST", `unstable/org.matrix.msc4140/delayed_events/${escape(id)}/${action}`, {});

const sticky = new Map(); // by event id

class Driver extends mxwidgets.WidgetDriver {
  async validateCapabilities(requested) {
    return requested; // the test trusts its widget
  }
  async sendEvent(type, content, stateKey) {
    const { event_id } = await request("PUT", sendPath(type, stateKey, {}), content);
    return { roomId: me.room, eventId: event_id };
  }
  async sendStickyEvent(duration, type, content) {
    const query = { "org.matrix.msc4354.sticky_duration_ms": duration };
    const { event_id } = await request("PUT", sendPath(type, null, query), content);
    return { roomId: me.room, eventId: event_id };
  }
  async sendDelayedEvent(delay, type, content, stateKey) {
    const { delay_id } = await request("PUT", sendPath(type, stateKey, { "org.matrix.msc4140.delay": delay }), content);
    return { roomId: me.room, delayId: delay_id };
  }
  async sendDelayedStickyEvent(delay, duration, type, content) {
    const query = { "org.matrix.msc4140.delay": delay, "org.matrix.msc4354.sticky_duration_ms": duration };
    const { delay_id } = await request("PUT", sendPath(type, null, query), content);
    return { roomId: me.room, delayId: delay_id };
  }
  async cancelScheduledDelayedEvent(id) {
    await delayed(id, "cancel");
  }
  async restartScheduledDelayedEvent(id) {
    await delayed(id, "restart");
  }
  async sendScheduledDelayedEvent(id) {
    await delayed(id, "send");
  }
  async sendToDevice(type, encrypted, messages) {
    await request("PUT", `v3/sendToDevice/${escape(type)}/host-${Date.now()}-${transactions++}`, { messages });
  }
  async readRoomTimeline(roomId, type, msgtype, stateKey, limit) {
    const { chunk } = await request("GET", `v3/rooms/${escape(me.room)}/messages?dir=b&limit=50`);
    return chunk.filter((e) => e.type === type && (stateKey === undefined || e.state_key === stateKey)).slice(0, limit || 50);
  }
  async readRoomState(roomId, type, stateKey) {
    const all = await request("GET", `v3/rooms/${escape(me.room)}/state`);
    return all
      .filter((e) => e.type === type && (stateKey === undefined || e.state_key === stateKey))
      .map((e) => ({ room_id: me.room, ...e }));
  }
  async readStickyEvents() {
    return [...sticky.values()];
  }
  askOpenID(observer) {
    request("POST", `v3/user/${escape(me.user)}/openid/request_token`, {}).then(
      (token) => observer.update({ state: "allowed", token }),
      () => observer.update({ state: "blocked" }),
    );
  }
  async getRtcTransports() {
    return request("GET", "unstable/org.matrix.msc4143/rtc/transports");
  }
  getKnownRooms() {
    return [me.room];
  }
  processError(error) {
    return error instanceof MatrixError ? { matrix_api_error: error.details } : undefined;
  }
}

function widgetURL() {
  const params = new URLSearchParams({
    widgetId: "the-widget", parentUrl: location.href.split("#")[0],
    roomId: me.room, userId: me.user, deviceId: me.device, baseUrl: me.base,
    perParticipantE2EE: "false", skipLobby: "true", confineToRoom: "true", appPrompt: "false",
    lang: "en", displayName: me.user, ...me.params,
  });
  return `${location.origin}/call/#/?${params}`;
}

async function start() {
  const widget = new mxwidgets.Widget({
    id: "the-widget", creatorUserId: me.user, type: "m.custom", url: widgetURL(), waitForIframeLoad: false,
  });
  const api = new mxwidgets.ClientWidgetApi(widget, frame, new Driver());
  for (const action of ["set_always_on_screen", "io.element.device_mute", "im.vector.hangup", "io.element.close", "io.element.join"]) {
    api.on("action:" + action, (ev) => {
      ev.preventDefault();
      window.actions.push(action);
      api.transport.reply(ev.detail, action === "set_always_on_screen" ? { success: true } : {});
    });
  }
  window.hangUp = () => api.transport.send("im.vector.hangup", {});
  let since = await first();
  api.setViewedRoomId(me.room);
  frame.src = widgetURL();
  for (;;) {
    try {
      since = await next(api, since);
    } catch {
      await wait(500); // the homeserver is away
    }
  }
}

const roomFilter = JSON.stringify({ presence: { types: [] }, room: { timeline: { limit: 50 } } });

// first waits until the room is there: a homeserver that is busy may leave out what
// was joined a moment ago, and Element Call does not ask again.
async function first() {
  for (;;) {
    const answer = await request("GET", `v3/sync?timeout=0&filter=${escape(roomFilter)}`);
    const room = answer.rooms?.join?.[me.room];
    const state = room && (await request("GET", `v3/rooms/${escape(me.room)}/state`).catch(() => []));
    if (state?.some((e) => e.type === "m.room.create")) {
      remember(room);
      return answer.next_batch;
    }
    await wait(100);
  }
}

// remember keeps the sticky events, and returns those of the section.
function remember(room) {
  const section = (room?.msc4354_sticky ?? room?.sticky)?.events ?? [];
  for (const e of [...section, ...(room?.timeline?.events ?? [])]) {
    if (e.msc4354_sticky ?? e.sticky) sticky.set(e.event_id, { room_id: me.room, ...e });
  }
  return section;
}

async function next(api, since) {
  const answer = await request("GET", `v3/sync?timeout=20000&since=${escape(since)}&filter=${escape(roomFilter)}`);
  for (const message of answer.to_device?.events ?? []) {
    await api.feedToDevice(message, false).catch(note);
  }
  const room = answer.rooms?.join?.[me.room];
  if (room) {
    for (const e of room.state?.events ?? []) await api.feedStateUpdate({ room_id: me.room, ...e }).catch(note);
    for (const e of remember(room)) await api.feedEvent({ room_id: me.room, ...e }).catch(note);
    for (const e of room.timeline?.events ?? []) {
      const event = { room_id: me.room, ...e };
      await api.feedEvent(event).catch(note);
      if (event.state_key !== undefined) await api.feedStateUpdate(event).catch(note);
    }
  }
  return answer.next_batch;
}

function note(error) {
  window.failures.push(String(error));
}

// What the widget has asked of authorization services, and the text that it shows.
// The page of the widget carries inside.js, which keeps the former.
window.asked = () => frame.contentWindow?.asked ?? [];
window.text = () => frame.contentDocument?.body?.innerText ?? "";

// What arrives in the connections that the widget has now, which inside.js keeps.
// A voice is sound that is no silence, a picture is one that was decoded.
async function listen() {
  const sum = { voices: 0, pictures: 0, frames: 0 };
  for (const pc of frame.contentWindow?.connections ?? []) {
    if (pc.connectionState !== "connected") continue;
    for (const s of (await pc.getStats()).values()) {
      if (s.type !== "inbound-rtp") continue;
      if (s.kind === "audio" && s.packetsReceived > 50 && s.totalAudioEnergy > 0) sum.voices++;
      if (s.kind === "video" && s.framesDecoded > 10) {
        sum.pictures++;
        sum.frames += s.framesDecoded;
      }
    }
  }
  window.heard = sum;
}

// What the widget sends, for a test that has failed.
window.sent = [];

async function speak() {
  const all = [];
  for (const pc of frame.contentWindow?.connections ?? []) {
    if (pc.connectionState !== "connected") continue;
    for (const sender of pc.getSenders()) {
      const { track } = sender;
      const layers = [...(await sender.getStats()).values()].filter((s) => s.type === "outbound-rtp");
      all.push({
        kind: track?.kind, state: track?.readyState, enabled: track?.enabled, muted: track?.muted,
        layers: layers.map((s) => `${s.rid ?? ""} active ${s.active} packets ${s.packetsSent} frames ${s.framesSent}`),
      });
    }
  }
  window.sent = all;
}

setInterval(() => listen().then(speak).catch(note), 500);
start().catch(note);
