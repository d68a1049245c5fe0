package archive

// schema1 is version 1 of the schema.
//
// Names of rooms, users and slots are written once. A chain is what succeeds
// one another: a state key, a sticky key of a sender, or the messages of one
// type and sender. Times are milliseconds since 1970.
const schema1 = `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
	begun INTEGER NOT NULL DEFAULT 0,      -- m.room.create is here: nothing is older
	state_read INTEGER NOT NULL DEFAULT 0  -- what is not in the visible past was taken from the state
);
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE slots (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (room, name));
CREATE TABLE chains (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, type TEXT NOT NULL, key TEXT NOT NULL,
	who INTEGER NOT NULL,                  -- the sender, if it is part of what makes the chain; else 0
	owner INTEGER NOT NULL,                -- the sender of its first record here
	skew INTEGER NOT NULL DEFAULT 0,       -- its times go back somewhere
	UNIQUE (room, type, key, who));
-- ord is the order of a room's records: the homeserver's, which can grow at both
-- ends and in between. walk is the run of pages that brought the record, 0 if
-- it came live, -1 if it was fetched by its id or from the state.
CREATE TABLE records (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, ord INTEGER NOT NULL, chain INTEGER NOT NULL,
	walk INTEGER NOT NULL, ts INTEGER NOT NULL, hash INTEGER NOT NULL, event BLOB NOT NULL,
	prev INTEGER,                          -- the record that it replaced, if its body does not say
	body BLOB NOT NULL);
-- Descending, because a back-fill goes that way: so pages of the file get full.
CREATE INDEX records_ord ON records (room, ord DESC, ts);
CREATE INDEX records_chain ON records (chain, ord DESC);
CREATE INDEX records_hash ON records (hash);
-- which records speak of which slot, and until when that counts by itself. What
-- counts for long is found by its end, the rest by its beginning.
CREATE TABLE said (slot INTEGER NOT NULL, ts INTEGER NOT NULL, rec INTEGER NOT NULL, chain INTEGER NOT NULL,
	until INTEGER NOT NULL, PRIMARY KEY (slot, ts DESC, rec)) WITHOUT ROWID;
CREATE INDEX said_long ON said (slot, until) WHERE until - ts > 18000000;
-- who ever spoke of which slot; user 0: the slot's own events
CREATE TABLE seats (user INTEGER NOT NULL, slot INTEGER NOT NULL, chain INTEGER NOT NULL,
	PRIMARY KEY (user, slot, chain)) WITHOUT ROWID;
-- which records name which event as their target
CREATE TABLE refs (hash INTEGER NOT NULL, rec INTEGER NOT NULL, PRIMARY KEY (hash, rec)) WITHOUT ROWID;
-- runs of pages without a hole; token goes on towards the past. Between two of
-- them is a gap.
CREATE TABLE walks (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, token TEXT NOT NULL, done INTEGER NOT NULL,
	bottom INTEGER NOT NULL);              -- its oldest record
-- events that the homeserver was asked for and did not show
CREATE TABLE absent (room INTEGER NOT NULL, hash INTEGER NOT NULL, PRIMARY KEY (room, hash)) WITHOUT ROWID;
-- what has to be folded again before sessions are read. slot 0: the whole room.
-- running: only because the session goes on.
CREATE TABLE dirty (room INTEGER NOT NULL, slot INTEGER NOT NULL, lo INTEGER NOT NULL, hi INTEGER NOT NULL,
	running INTEGER NOT NULL, PRIMARY KEY (room, slot, lo)) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, slot INTEGER NOT NULL,
	start INTEGER NOT NULL, end INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX sessions_room ON sessions (room, start);
CREATE INDEX sessions_slot ON sessions (slot, start);
CREATE INDEX sessions_end ON sessions (room, end);
`
