package report

import (
	"encoding/json"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// Change is one line of `watch --json`: one step of a room's sessions, or of
// the connection over which we watch. Fields that a kind does not have are
// left out. Times are milliseconds since 1970.
type Change struct {
	// At is when it happened, by the clock of the event's server; Seen is when
	// we saw it, by ours.
	At   int64  `json:"at"`
	Seen int64  `json:"seen"`
	Kind string `json:"change"`

	Room        matrixrtc.RoomID `json:"room_id"`
	Slot        matrixrtc.SlotID `json:"slot_id,omitempty"`
	Application string           `json:"application,omitempty"`

	Member   *Member         `json:"member,omitempty"`
	Previous *Member         `json:"previous,omitempty"`
	Cause    matrixrtc.Cause `json:"cause,omitempty"`

	From json.RawMessage `json:"from,omitempty"`
	To   json.RawMessage `json:"to,omitempty"`

	Event    matrixrtc.EventID   `json:"event_id,omitempty"`
	Sender   matrixrtc.UserID    `json:"user_id,omitempty"`
	Problems []matrixrtc.Problem `json:"problems,omitempty"`
	// Counted says that the event states a membership all the same.
	Counted bool `json:"counted,omitempty"`

	Error string `json:"error,omitempty"`

	// Doubt is what member_suspected and member_cleared have: how sure it is that
	// the member is dead, and why.
	*Doubt

	// What follows is in lines of `join --json` only.

	// State is our own state ("own") or that of a connection ("connection").
	State string `json:"state,omitempty"`
	// Since is when all was last well ("at_risk"), Until when others cease to count
	// us if nothing more reaches the homeserver, After for how many milliseconds
	// they may not have counted us ("rejoined").
	Since     int64           `json:"since,omitempty"`
	Until     int64           `json:"until,omitempty"`
	After     int64           `json:"after_ms,omitempty"`
	Transport json.RawMessage `json:"transport,omitempty"`
	// Publish says that the connection is the one we publish on.
	Publish bool `json:"publish,omitempty"`
	// Tracks are the media that a line is about.
	Tracks []Track `json:"tracks,omitempty"`
	// Topic and Bytes describe a data message; its text is not printed.
	Topic string `json:"topic,omitempty"`
	Bytes int    `json:"bytes,omitempty"`
}

// Track is media that arrives, or that we send. Of media that we send, Packets
// are samples and the ids are ours.
type Track struct {
	User     matrixrtc.UserID   `json:"user_id,omitempty"` // "" for a stranger
	Device   matrixrtc.DeviceID `json:"device_id,omitempty"`
	Member   matrixrtc.MemberID `json:"member_id,omitempty"`
	Identity string             `json:"identity,omitempty"` // what the transport calls the sender
	Kind     string             `json:"kind"`               // audio, video
	Codec    string             `json:"codec"`
	Purpose  string             `json:"purpose"` // microphone, camera, screen_share
	Packets  uint64             `json:"packets"` // since the track began
	Bytes    uint64             `json:"bytes"`
	Rate     float64            `json:"packets_per_second"` // since the last line
}

// The kinds of changes. The set grows; a reader skips those it does not know.
const (
	KindMemberJoined   = "member_joined"
	KindMemberUpdated  = "member_updated"
	KindMemberLeft     = "member_left"
	KindSessionStarted = "session_started"
	KindSessionEnded   = "session_ended"
	KindSlotOpened     = "slot_opened"
	KindSlotClosed     = "slot_closed"
	KindFocusChanged   = "focus_changed"
	KindInvalid        = "invalid"

	// KindWatching is the first line: Error is empty.
	KindWatching = "watching"
	// KindEncrypted says that the room is encrypted, and that memberships which
	// are sent encrypted cannot be read.
	KindEncrypted = "encrypted"
	// KindUnreachable says that the homeserver does not answer; Error says how.
	KindUnreachable = "homeserver_unreachable"
	// KindReachable says that it answers again: the changes that follow are
	// what happened meanwhile.
	KindReachable = "homeserver_reachable"
	// KindNotInRoom says that our account is no longer in the room.
	KindNotInRoom = "not_in_room"
	// KindInRoom says that it is in the room again.
	KindInRoom = "in_room"
	// KindNote says that a part of an answer of the homeserver could not be
	// used; everything else of it was.
	KindNote = "note"
	// KindSuspected says that a member is probably dead, and how sure that is;
	// KindCleared that it is not after all.
	KindSuspected = "member_suspected"
	KindCleared   = "member_cleared"

	// KindOwn: our own membership is in another state, or was refreshed.
	KindOwn = "own"
	// KindConnection: a connection to a transport is in another state.
	KindConnection = "connection"
	// KindTrackAdded and KindTrackEnded: media of a member begins and ends.
	KindTrackAdded = "track_added"
	KindTrackEnded = "track_ended"
	// KindSending and KindSent: we begin and end to send a source.
	KindSending = "sending"
	KindSent    = "sent"
	// KindReceived: what has arrived so far, every few seconds.
	KindReceived = "received"
	// KindMessage: a data message arrived.
	KindMessage = "message"
)

// OfChange is a change as it stands in a document. s is the session as it is
// after the change, nil if it has ended: it says how a member can be reached.
func OfChange(room matrixrtc.RoomID, c matrixrtc.Change, s *matrixrtc.Session) Change {
	at, seen := c.When()
	out := Change{At: at.UnixMilli(), Seen: seen.UnixMilli(), Room: room}
	of := func(k matrixrtc.SessionKey, m matrixrtc.Member) *Member {
		out.Room, out.Slot, out.Application = k.Room, k.Slot, m.Application.Type
		if s == nil {
			s = &matrixrtc.Session{Key: k, Application: m.Application}
		}
		doc := ofMember(s, m)
		return &doc
	}
	switch c := c.(type) {
	case matrixrtc.MemberJoined:
		out.Kind, out.Member = KindMemberJoined, of(c.Session, c.Member)
	case matrixrtc.MemberUpdated:
		out.Kind, out.Member, out.Previous = KindMemberUpdated, of(c.Session, c.Member), of(c.Session, c.Previous)
	case matrixrtc.MemberLeft:
		out.Kind, out.Member, out.Cause = KindMemberLeft, of(c.Session, c.Member), c.Cause
	case matrixrtc.SessionStarted:
		out.Kind, out.Room, out.Slot, out.Application = KindSessionStarted, c.Session.Room, c.Session.Slot, c.Application.Type
	case matrixrtc.SessionEnded:
		out.Kind, out.Room, out.Slot = KindSessionEnded, c.Session.Room, c.Session.Slot
	case matrixrtc.SlotOpened:
		out.Kind, out.Room, out.Slot = KindSlotOpened, c.Session.Room, c.Session.Slot
	case matrixrtc.SlotClosed:
		out.Kind, out.Room, out.Slot = KindSlotClosed, c.Session.Room, c.Session.Slot
	case matrixrtc.FocusChanged:
		out.Kind, out.Room, out.Slot = KindFocusChanged, c.Session.Room, c.Session.Slot
		out.From, out.To = c.From.Raw, c.To.Raw
	case matrixrtc.Invalid:
		out.Kind, out.Event, out.Sender, out.Problems, out.Counted = KindInvalid, c.Event, c.Sender, c.Problems, c.Counted
	}
	return out
}

// OfSuspicion is a line about a member of a session that is taken for dead, or is
// not any more (KindCleared).
func OfSuspicion(v *suspect.Verdict, session *matrixrtc.Session, now time.Time) Change {
	d := OfVerdict(v, session, "", now)
	c := Change{At: now.UnixMilli(), Seen: now.UnixMilli(), Kind: KindSuspected, Room: v.Room, Slot: v.Slot,
		Application: v.Application.Type, Member: &d.Member, Doubt: &d.Doubt}
	if v.Certainty == suspect.Alive {
		c.Kind = KindCleared
	}
	return c
}

// Notice is a line of `watch --json` that is not a change of a session.
func Notice(room matrixrtc.RoomID, kind string, now time.Time, err error) Change {
	c := Change{At: now.UnixMilli(), Seen: now.UnixMilli(), Kind: kind, Room: room}
	if err != nil {
		c.Error = err.Error()
	}
	return c
}
