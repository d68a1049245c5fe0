// Package media is the vocabulary that the transports share: what a client
// asks of the media side of a session, and what it gets back. It moves no
// bytes itself.
//
// A Connector opens a Conn to one transport (one SFU, or the mesh of one
// session). A Conn tells what happens in one ordered stream, Events; there are
// no callbacks. Every method may be called from any goroutine.
package media

import (
	"context"
	"errors"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/pion/rtp"
)

// Errors that a caller may want to tell apart.
var (
	// ErrUnsupported: no connector knows this transport.
	ErrUnsupported = errors.New("transport not supported")
	// ErrRefused: the other side understood and said no; trying again as is
	// will not help.
	ErrRefused = errors.New("refused by the transport")
	// ErrCannotPublish: the transport lets us listen only.
	ErrCannotPublish = errors.New("not allowed to publish on this transport")
	// ErrClosed: the Conn is closed.
	ErrClosed = errors.New("connection closed")
)

// Connector opens connections over the transports that it supports.
type Connector interface {
	// Supports reports whether the connector can use the transport.
	Supports(t matrixrtc.Transport) bool
	// Connect joins the session over the transport and returns when media can
	// flow. ctx bounds the joining only; the Conn lives until Close.
	Connect(ctx context.Context, p Params) (Conn, error)
}

// Params say what to connect to.
type Params struct {
	Transport matrixrtc.Transport
	// Self is our own membership: room, slot, user, device, member id, dialect.
	Self *matrixrtc.Membership
	// ListenOnly: we will not publish here (a remote member's SFU).
	ListenOnly bool
}

// Conn is an open connection.
type Conn interface {
	// SetMembers says who is in the session now. Participants of the transport
	// are matched to these members; one that matches none stays invisible until
	// it publishes.
	SetMembers([]matrixrtc.Member)
	// Publish sends a source until the publication or the Conn is closed, or
	// the source ends.
	Publish(ctx context.Context, src Source) (Publication, error)
	// Send sends a data message to everyone, or to some.
	Send(ctx context.Context, m Message) error
	// Events is the one ordered stream of what happens. It is closed when the
	// Conn has ended. The reader must keep reading: a Conn that is not read
	// stands still.
	Events() <-chan Event
	// Close leaves and returns when everything the Conn started has ended.
	Close() error
}

// Kind is audio or video.
type Kind string

// The kinds.
const (
	Audio Kind = "audio"
	Video Kind = "video"
)

// Purpose says what a track shows.
type Purpose string

// The purposes.
const (
	Microphone  Purpose = "microphone"
	Camera      Purpose = "camera"
	ScreenShare Purpose = "screen_share"
)

// Codec names what a track carries: "opus", "vp8", …
type Codec string

// The codecs that samples may have.
const (
	Opus Codec = "opus"
	VP8  Codec = "vp8"
)

// Sample is one encoded frame: an Opus packet or a VP8 frame.
type Sample struct {
	Data     []byte
	Duration time.Duration
	// Key says that a video frame can be decoded on its own.
	Key bool
}

// Source is where published samples come from.
type Source interface {
	Kind() Kind
	Codec() Codec
	Purpose() Purpose
	// Next returns the next sample without waiting for its time; the
	// publication paces itself by Duration. io.EOF ends the publication.
	// It is called from one goroutine.
	Next() (Sample, error)
}

// Publication is a source being sent.
type Publication interface {
	// Sent counts samples sent so far.
	Sent() int
	// Done is closed when nothing is sent any more; Err says why then (nil at
	// the end of the source).
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Peer is a participant of the transport.
type Peer struct {
	// Identity is the transport's own name of the participant.
	Identity string
	// Member is whom the identity belongs to; nil for a stranger.
	Member *matrixrtc.MemberKey
}

// Track is media that arrives from a peer.
type Track interface {
	ID() string
	Peer() Peer
	Kind() Kind
	Codec() Codec
	Purpose() Purpose
	// ReadRTP waits for the next packet; io.EOF after the track has ended.
	// One goroutine may read.
	ReadRTP() (*rtp.Packet, error)
}

// Message is a data message.
type Message struct {
	From     Peer                  // set on receipt
	To       []matrixrtc.MemberKey // empty: everyone
	Topic    string
	Reliable bool
	Data     []byte
}

// Event is one thing that happened on a Conn: PeerJoined, PeerLeft,
// TrackAdded, TrackEnded, MessageReceived, StateChanged. The set is closed.
type Event interface{ mediaEvent() }

// State of a Conn.
type State string

// The states.
const (
	Connected    State = "connected"
	Reconnecting State = "reconnecting"
	Disconnected State = "disconnected" // for good
)

type (
	// PeerJoined: a participant that matches a member, or publishes.
	PeerJoined struct{ Peer Peer }
	// PeerLeft: it is gone.
	PeerLeft struct{ Peer Peer }
	// TrackAdded: media can be read.
	TrackAdded struct{ Track Track }
	// TrackEnded: no more media of this track will come.
	TrackEnded struct{ Track Track }
	// MessageReceived: a data message arrived.
	MessageReceived struct{ Message Message }
	// StateChanged: the connection itself changed; Err is why, if known.
	StateChanged struct {
		State State
		Err   error
	}
)

func (PeerJoined) mediaEvent()      {}
func (PeerLeft) mediaEvent()        {}
func (TrackAdded) mediaEvent()      {}
func (TrackEnded) mediaEvent()      {}
func (MessageReceived) mediaEvent() {}
func (StateChanged) mediaEvent()    {}
