package client

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Update is one thing that happened in a room. The set is closed: Changed,
// Skipped, Own, Refreshed, Connection, PeerJoined, PeerLeft, TrackAdded, TrackEnded,
// MessageReceived, Note.
type Update interface{ update() }

type (
	// Changed is a step of the room's sessions. The stream begins with the
	// steps that lead from an empty room to the present one.
	Changed struct{ matrixrtc.Change }

	// Skipped says that the reader was so far behind that steps of the sessions
	// were left out. The Changed updates that follow lead from what was told last
	// to the present: whoever joined and left in between does not appear.
	Skipped struct {
		// Changes is how many were left out.
		Changes int
	}

	// Own is a step of our own membership.
	Own struct {
		Call  *Call
		State OwnState
		At    time.Time
		// Err is why, for at_risk, lost and left: nil if we left because Leave
		// said so.
		Err error
		// Since is, for at_risk, when all was last known to be well.
		Since time.Time
		// Until is, for joined, rejoined and at_risk, when others cease to count us
		// if nothing more reaches the homeserver.
		Until time.Time
		// After is, for rejoined, for how long others may not have counted us.
		After time.Duration
	}

	// Refreshed says that our membership was stated again; Until is as in Own.
	Refreshed struct {
		Call      *Call
		At, Until time.Time
	}

	// Connection says how a connection to a transport is doing.
	Connection struct {
		Call      *Call
		Transport matrixrtc.Transport
		State     ConnState
		// Publish: we publish here, or would; else we only listen.
		Publish bool
		Err     error // why, if known
	}

	// From says where a media update came from.
	From struct {
		Call      *Call
		Transport matrixrtc.Transport
		// Member is whom it belongs to, as far as is known by now; nil for a
		// stranger. Of strangers is told only after 5 s: mostly they are members
		// whose event has yet to come.
		Member *matrixrtc.Member
	}

	// PeerJoined: a participant of the transport that matches a member, or
	// publishes.
	PeerJoined struct {
		From
		Peer media.Peer
	}
	// PeerLeft: it is gone from that transport.
	PeerLeft struct {
		From
		Peer media.Peer
	}
	// TrackAdded: media can be read. A member's tracks come over one transport
	// at a time.
	TrackAdded struct {
		From
		Track media.Track
	}
	// TrackEnded: no more media of this track will come, or none that counts:
	// the member is now received over another transport.
	TrackEnded struct {
		From
		Track media.Track
	}
	// MessageReceived: a data message arrived.
	MessageReceived struct {
		From
		Message media.Message
	}

	// Note says how the homeserver is doing: Err is what is wrong, nil that all
	// is well again. The room and its calls go on meanwhile. Err is ErrNotJoined
	// while we are not joined to the room.
	Note struct {
		Err error
		// Final: the sync has ended for good, nothing more will come.
		Final bool
	}
)

func (Changed) update()         {}
func (Skipped) update()         {}
func (Own) update()             {}
func (Refreshed) update()       {}
func (Connection) update()      {}
func (PeerJoined) update()      {}
func (PeerLeft) update()        {}
func (TrackAdded) update()      {}
func (TrackEnded) update()      {}
func (MessageReceived) update() {}
func (Note) update()            {}

// OwnState is how our own membership stands.
type OwnState = keeper.State

// The states of our own membership, in the order in which they may come.
const (
	Joining  = keeper.Joining  // the first statement is on its way
	Joined   = keeper.Joined   // the homeserver has it; also: out of risk again
	AtRisk   = keeper.AtRisk   // staying in fails and the end is near
	Lost     = keeper.Lost     // others no longer count us, as far as we know; rejoining
	Rejoined = keeper.Rejoined // counted again
	Left     = keeper.Left     // over
)

// ConnState is the state of a connection to a transport.
type ConnState string

// The states of a connection.
const (
	Connecting   ConnState = "connecting"
	Connected    ConnState = "connected"
	Reconnecting ConnState = "reconnecting" // the connection mends itself
	Disconnected ConnState = "disconnected" // will be connected anew after a while
	Refused      ConnState = "refused"      // the other side said no: not tried again
	Closed       ConnState = "closed"       // not needed any more
)
