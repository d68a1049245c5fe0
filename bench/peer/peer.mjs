// What bench measures beside matrixrtc: the same operations on the same files,
// done by matrix-js-sdk. One operation in one process:
//
//   node peer.mjs WARM MEASURE one-more  SNAPSHOT LAPS
//   node peer.mjs WARM MEASURE from-json SNAPSHOT
//   node peer.mjs WARM MEASURE stream    STREAM
//   node peer.mjs 0 0          sessions  FILE AT
//   node peer.mjs 0 0          version
//
// WARM and MEASURE are milliseconds of processor time: an operation is repeated
// for as long as WARM, so that it is compiled, and then as long as MEASURE. The
// result is one line of JSON; that of `sessions` is a document of sessions, that
// of `version` a name.
//
// Where the library leaves a choice the cheaper one is taken: it logs nothing,
// its timers cost what a list costs, and of a change it hears once.
import fs from "node:fs";
import { createRequire } from "node:module";
import loglevel from "loglevel";
import { createClient, EventTimeline, MatrixEvent, Room } from "matrix-js-sdk";
import { MatrixRTCSession } from "matrix-js-sdk/lib/matrixrtc/index.js";

const filesAt = 1_760_000_000_000; // the time at which snapshots are looked at
const benchRoom = "!bench:example.org";
const roomCall = { application: "m.call", id: "ROOM" };
const membershipTypes = new Set(["org.matrix.msc3401.call.member", "org.matrix.msc4143.rtc.member"]);

const [warm, measure] = process.argv.slice(2, 4).map(Number);
const [operation, ...files] = process.argv.slice(4);

for (const log of Object.values(loglevel.getLoggers())) {
    log.methodFactory = () => () => {};
    log.rebuild();
}

// The clock stands where we set it, and timers that are due run when it moves.
const timers = new Map();
let clock = filesAt;
let firstDue = Infinity;
let lastTimer = 0;
Date.now = () => clock;
globalThis.setTimeout = (run, ms = 0) => {
    const due = clock + ms;
    timers.set(++lastTimer, { run, due });
    firstDue = Math.min(firstDue, due);
    return lastTimer;
};
globalThis.clearTimeout = (id) => timers.delete(id);

function setClock(ms) {
    clock = ms;
    if (firstDue > ms) return;
    const due = [...timers].filter(([, t]) => t.due <= ms).sort(([, a], [, b]) => a.due - b.due);
    for (const [id, t] of due) {
        if (timers.delete(id)) t.run();
    }
    firstDue = Math.min(Infinity, ...[...timers.values()].map((t) => t.due));
}

const client = createClient({ baseUrl: "http://127.0.0.1:9", userId: "@bench:localhost", deviceId: "BENCH" });
const newRoom = (id) => new Room(id, client, "@bench:localhost");

/** Gives events to a room as the library's own sync does. */
function add(room, raws) {
    const state = [];
    const sticky = [];
    for (const raw of raws) {
        const event = new MatrixEvent(raw);
        (event.isState() ? state : sticky).push(event);
    }
    if (state.length > 0) room.getLiveTimeline().getState(EventTimeline.FORWARDS).setStateEvents(state);
    if (sticky.length > 0) room._unstable_addStickyEvents(sticky);
}

const readLines = (path) => fs.readFileSync(path, "utf8").trim().split("\n");

/** A room from the raw events that a first sync would bring. */
function readRoom(lines) {
    setClock(filesAt);
    const room = newRoom(benchRoom);
    add(
        room,
        lines.map((line) => JSON.parse(line)),
    );
    return room;
}

/** Milliseconds of processor time so far, of all threads of this process. */
function spent() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
}

/** A room that is followed: a session that a client would hold. */
async function follow(room) {
    const session = MatrixRTCSession.sessionForSlot(client, room, roomCall);
    await session.initialMembershipCalculated;
    return session;
}

/**
 * One more event: decoded, applied, and the members of the live session anew.
 * State events reach a session through MatrixRTCSessionManager, which calls
 * what is called here; of sticky ones it hears itself, and the library makes one
 * recalculation of both calls.
 */
async function oneMore(room, session, line) {
    const raw = JSON.parse(line);
    setClock(Math.max(filesAt, raw.origin_server_ts));
    add(room, [raw]);
    await session.ensureRecalculateSessionMembers();
    return session.memberships.length;
}

/** The laps again and again, each time in a new room, which is not counted. */
async function measureOneMore(snapshot, laps) {
    const pass = async (budget, members) => {
        const room = readRoom(snapshot);
        const session = await follow(room);
        const from = spent();
        let ops = 0;
        for (const line of laps) {
            members.push(await oneMore(room, session, line));
            ops++;
            if (spent() - from >= budget) break;
        }
        await session.stop();
        return { ops, ms: spent() - from };
    };
    const passes = async (budget) => {
        const all = { ops: 0, ms: 0, members: [] };
        while (all.ops === 0 || all.ms < budget) {
            const { ops, ms } = await pass(budget - all.ms, all.ops === 0 ? all.members : []);
            all.ops += ops;
            all.ms += ms;
        }
        return all;
    };
    await passes(warm);
    return passes(measure);
}

/** Something as a whole, again and again. */
async function measureWhole(work) {
    const repeat = async (budget) => {
        const from = spent();
        let ops = 0;
        let members;
        do {
            members = await work();
            ops++;
        } while (spent() - from < budget);
        return { ops, ms: spent() - from, members };
    };
    await repeat(warm);
    return repeat(measure);
}

async function fromJSON(lines) {
    return [(await MatrixRTCSession.sessionMembershipsForSlot(readRoom(lines), roomCall)).length];
}

/** The events of many rooms one by one, each room with a live session. */
async function stream(lines) {
    const rooms = new Map();
    const members = [];
    timers.clear();
    firstDue = Infinity;
    for (const line of lines) {
        const raw = JSON.parse(line);
        setClock(raw.origin_server_ts);
        let known = rooms.get(raw.room_id);
        if (!known) {
            const room = newRoom(raw.room_id);
            known = { room, session: await follow(room) };
            rooms.set(raw.room_id, known);
        }
        add(known.room, [raw]);
        if (!membershipTypes.has(raw.type)) continue;
        await known.session.ensureRecalculateSessionMembers();
        members.push(known.session.memberships.length);
    }
    return members;
}

/** The sessions of a file, as `matrixrtc sessions FILE --json` lists them. */
async function sessions(path, at) {
    const rooms = new Map();
    setClock(at);
    for (const line of readLines(path)) {
        const raw = JSON.parse(line);
        if (!rooms.has(raw.room_id)) rooms.set(raw.room_id, []);
        rooms.get(raw.room_id).push(raw);
    }
    const list = [];
    for (const [id, raws] of rooms) {
        const room = newRoom(id);
        add(room, raws);
        const members = await MatrixRTCSession.sessionMembershipsForSlot(room, roomCall);
        if (members.length === 0) continue;
        list.push({
            room_id: id,
            slot_id: `${roomCall.application}#${roomCall.id}`,
            application: roomCall.application,
            oldest: members[0].eventId,
            members: members.map((m) => ({
                user_id: m.userId,
                device_id: m.deviceId,
                member_id: m.memberId,
                event_id: m.eventId,
                created_ts: m.createdTs(),
                expires_at: m.getAbsoluteExpiry() ?? null,
                intent: m.callIntent ?? null,
                transport: m.getTransport(members[0]) ?? null,
                identities: [m.rtcBackendIdentity],
            })),
        });
    }
    return { at, sessions: list };
}

function print(document) {
    fs.writeSync(1, JSON.stringify(document) + "\n");
    process.exit(0); // the library keeps things open
}

const measures = {
    "one-more": () => measureOneMore(readLines(files[0]), readLines(files[1])),
    "from-json": () => {
        const lines = readLines(files[0]);
        return measureWhole(() => fromJSON(lines));
    },
    "stream": () => {
        const lines = readLines(files[0]);
        return measureWhole(() => stream(lines));
    },
};

if (operation === "sessions") {
    print(await sessions(files[0], Number(files[1])));
} else if (operation === "version") {
    const sdk = createRequire(import.meta.url)("matrix-js-sdk/package.json").version;
    print(`matrix-js-sdk ${sdk} on Node ${process.version}`);
} else if (measures[operation]) {
    const { ops, ms, members } = await measures[operation]();
    print({ ops, cpu_ns: Math.round(ms * 1e6), members });
} else {
    console.error(`${operation}: there is no such operation`);
    process.exit(2);
}
