package gapfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// State is how far a delayed event has come. It goes from Scheduled to Sending
// and from there to one of the others, or back to Scheduled when it is known that
// nothing was sent; from Scheduled to Cancelled at any time.
type State string

const (
	// Scheduled: it waits. It can be restarted, cancelled and sent.
	Scheduled State = "scheduled"
	// Sending: a replica has begun to send it, and the homeserver may have it.
	// Only sending goes on, by this replica or, after its lease, by any.
	Sending State = "sending"
	// Sent: the homeserver has taken it.
	Sent State = "sent"
	// Cancelled: it was given up before it was sent.
	Cancelled State = "cancelled"
	// Failed: the homeserver has refused it for good.
	Failed State = "failed"
)

// Final reports whether nothing more happens to an event in that state.
func (s State) Final() bool { return s == Sent || s == Cancelled || s == Failed }

// Delayed is an event that is held back (MSC4140). Times have millisecond
// precision.
type Delayed struct {
	// ID is the delay id: who knows it may act on the event, so it cannot be
	// guessed.
	ID string
	// User and Device are whose event it is; Device can be empty.
	User, Device string
	Room, Type   string
	// StateKey is nil for a message event.
	StateKey *string
	// Content is the event's content, a JSON object, byte for byte.
	Content json.RawMessage
	// Sticky is for how long it shall be sticky once it is sent (MSC4354); 0: it
	// is not.
	Sticky time.Duration
	// Delay is how long it is held back after Since.
	Delay time.Duration
	// Since is when it was scheduled or last restarted.
	Since time.Time
	// Txn names the request that scheduled it, among all requests; a request with
	// the name of one before means the same event. Empty: it has no name.
	Txn string
	// Token is the sealed access token to send it with; nil if none is needed,
	// and once it is final.
	Token []byte

	// Created is the first Since. It and what follows is the Store's to set.
	Created time.Time
	State   State
	// At is when it is to be looked at next: if Scheduled, when it is due, which
	// is Since + Delay or later; if Sending, when somebody else may take over.
	// Zero if final.
	At time.Time
	// Turn counts how often it has been claimed: it tells a claim from later ones.
	Turn int
	// Tried is when it was claimed last while it was Scheduled: nobody has sent it
	// before. Zero if it never was.
	Tried time.Time
	// Doubt is set in what Claim returns if the event was Sending before: an
	// earlier claim may have sent it.
	Doubt bool

	// EventID is set if Sent and known.
	EventID string
	// Error is why it Failed or was Cancelled by us: a Matrix error as JSON, or
	// empty.
	Error json.RawMessage
	// Finalised is when it became final, else zero.
	Finalised time.Time
}

// Limits bound how much is scheduled.
type Limits struct {
	// PerUser is how many events of one user can be Scheduled or Sending, Total
	// how many altogether.
	PerUser, Total int
}

// Page is a part of a list.
type Page struct {
	// Final asks for the events that are final instead of the others.
	Final bool
	// From is where to go on: what List returned as next, or "" for the
	// beginning. What List did not return is an ErrBadPage.
	From string
	// Limit is how many to return at most; it is positive.
	Limit int
}

// Outcome is how an event became final.
type Outcome struct {
	// State is final.
	State   State
	EventID string
	Error   json.RawMessage
}

// Errors of a Store to branch on.
var (
	// ErrNotFound: there is no such delayed event, or none any more.
	ErrNotFound = errors.New("no such delayed event")
	// ErrBadPage: a list cannot go on from there.
	ErrBadPage = errors.New("not a place in the list of delayed events")
	// ErrTurn: the event has been claimed by somebody else since.
	ErrTurn = errors.New("the delayed event is in other hands by now")
)

// StateError says that the state of an event does not allow what was asked.
type StateError struct {
	// State is the state that it has: final, or Sending.
	State State
}

func (e *StateError) Error() string {
	return fmt.Sprintf("the delayed event is %s already", e.State)
}

// LimitError says that Limits do not allow another event.
type LimitError struct {
	// Total is set if it is the limit for all users that is reached.
	Total bool
	// Next is when the user's next event (with Total, anybody's) is due; zero if
	// that is not known.
	Next time.Time
}

func (e *LimitError) Error() string {
	if e.Total {
		return "too many delayed events are scheduled"
	}
	return "the user has too many delayed events scheduled"
}

// Store keeps delayed events. Several replicas of a site may share one; every
// method is atomic. What a method has returned without an error survives the end
// of the process at any moment. Stores have no clock: now is passed in. Methods
// may be called from any goroutine, and return values are the caller's own.
//
// Due times are found without looking at every event: Claim and Next take time
// in what they return, not in what is stored. A store that one process alone can
// have open may end all leases when it is opened. Package storetest holds a Store
// to what is said here.
type Store interface {
	// Put stores a new event: ID, User to Token are the caller's, the rest
	// follows (Scheduled, Created = Since, At = Since + Delay). If an event with its Txn is there,
	// in whatever state, that one's id is returned and nothing changes, limits
	// or no. A *LimitError says that there are too many.
	Put(ctx context.Context, d *Delayed, limits Limits) (id string, err error)
	// Get returns an event, or ErrNotFound.
	Get(ctx context.Context, id string) (*Delayed, error)
	// List returns events of a user: those that are not final by id, those that
	// are from the newest Finalised on, then by id. next is empty after the last
	// page.
	List(ctx context.Context, user string, page Page) (list []Delayed, next string, err error)
	// Restart sets Since to now and At to now + Delay, if the event is Scheduled;
	// a *StateError says that it is not. A token that is not nil takes the place
	// of the old one.
	Restart(ctx context.Context, id string, token []byte, now time.Time) error
	// Cancel makes a Scheduled event final. One that is Cancelled already is no
	// error, any other is a *StateError.
	Cancel(ctx context.Context, id string, now time.Time) error
	// Displace cancels the events that are Scheduled for a state key by others
	// than one user, with an Error, and says how many.
	Displace(ctx context.Context, room, typ, stateKey, by string, why json.RawMessage, now time.Time) (int, error)

	// Claim takes up to n events whose At has come (At <= now), earliest first:
	// they become Sending, with At = now + lease and the next Turn. No two claims
	// return the same event, unless a lease has ended in between, or a Release.
	Claim(ctx context.Context, now time.Time, lease time.Duration, n int) ([]Delayed, error)
	// ClaimOne does that to one Scheduled event, due or not. A *StateError says
	// that it is Sending or final.
	ClaimOne(ctx context.Context, id string, now time.Time, lease time.Duration) (*Delayed, error)
	// Release gives a claim back: the event is to be looked at again at a time.
	// maybe says that it may have been sent, and it stays Sending; otherwise it
	// is Scheduled again (Since, and so what was promised to its user, stays). ErrTurn
	// if the turn has passed on, a *StateError if it is final.
	Release(ctx context.Context, id string, turn int, at time.Time, maybe bool) error
	// Finish makes an event final that is Sending, in whosever turn, and drops
	// its token. A *StateError says that it is not Sending.
	Finish(ctx context.Context, id string, out Outcome, now time.Time) error

	// Next is the earliest At of all, zero if there is none.
	Next(ctx context.Context) (time.Time, error)
	// Beat notes that somebody looks after the store, unless now is zero, and
	// returns when somebody did last; zero if never.
	Beat(ctx context.Context, now time.Time) (last time.Time, err error)
	// Grace makes what is Scheduled wait until now + min(Delay, most), if its At
	// is before that, and says how many do.
	Grace(ctx context.Context, now time.Time, most time.Duration) (int, error)
	// Prune forgets what became final before a time, and the longest final beyond
	// keep of them, and says how many.
	Prune(ctx context.Context, before time.Time, keep int) (int, error)
	// Close gives back what the store holds. Nothing may be called after.
	Close() error
}
