package homeserver

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// sentinel is an error to branch on with errors.Is. final says that the same
// request will fail again.
type sentinel struct {
	text  string
	final bool
}

func (e *sentinel) Error() string { return e.text }

// Is lets those who do not know this package ask errors.Is(err, fs.ErrNotExist)
// of a single event.
func (e *sentinel) Is(target error) bool { return target == fs.ErrNotExist && e == ErrEventUnknown }

// Final reports whether trying again as is will not help.
func (e *sentinel) Final() bool { return e.final }

// Unsupported reports whether the homeserver does not have what was asked for.
func (e *sentinel) Unsupported() bool { return e == ErrUnsupported }

// Gone reports whether there is no such delayed event.
func (e *sentinel) Gone() bool { return e == ErrDelayGone }

// SentAtOnce reports whether an event was sent that should have been held back.
func (e *sentinel) SentAtOnce() bool { return e == ErrSentAtOnce }

// Errors to branch on with errors.Is. Those that wrap them say in plain words
// what happened and what to do. All of them have a method Final.
var (
	// ErrUnauthorized: the access token is wrong, expired or logged out, and
	// could not be refreshed: log in again.
	ErrUnauthorized error = &sentinel{"the homeserver does not accept our access token", true}
	// ErrBadLogin: user name or password are wrong.
	ErrBadLogin error = &sentinel{"wrong user name or password", true}
	// ErrForbidden: the homeserver understood and refuses.
	ErrForbidden error = &sentinel{"the homeserver refuses", true}
	// ErrNotJoined: this user is not a member of the room.
	ErrNotJoined error = &sentinel{"not joined to the room", true}
	// ErrRoomUnknown: no such room or alias.
	ErrRoomUnknown error = &sentinel{"no such room", true}
	// ErrEventUnknown: no such event, or none that this user may see. It is an
	// fs.ErrNotExist.
	ErrEventUnknown error = &sentinel{"no such event, or none that this user may see", true}
	// ErrUnsupported: the homeserver does not have this feature.
	ErrUnsupported error = &sentinel{"the homeserver does not support this", true}
	// ErrDelayGone: there is no such delayed event: it was sent, cancelled, or
	// never scheduled.
	ErrDelayGone error = &sentinel{"no such delayed event, or not any more", true}
	// ErrSentAtOnce: the homeserver sent an event that it should have held back.
	ErrSentAtOnce error = &sentinel{"the homeserver sent the event at once instead of holding it back", true}
	// ErrMissed: not all that happened while there was no contact could be told;
	// from here on all is right again.
	ErrMissed error = &sentinel{"some of what happened meanwhile could not be told", false}
	// ErrNoCredentials: the store holds no login.
	ErrNoCredentials error = &sentinel{"not logged in", true}
	// ErrRateLimited: too many requests; see RateLimitError.
	ErrRateLimited error = &sentinel{"the homeserver asks to slow down", false}
	// ErrUnreachable: no answer, or one from a gateway in front of a homeserver
	// that is down.
	ErrUnreachable error = &sentinel{"the homeserver cannot be reached", false}
	// ErrBadAnswer: an answer that cannot be read, or that is too large.
	ErrBadAnswer error = &sentinel{"the homeserver's answer cannot be used", false}
)

// RateLimitError is a 429 answer. It is an ErrRateLimited.
type RateLimitError struct {
	// After is how long to wait, zero if the homeserver did not say.
	After time.Duration
}

func (e *RateLimitError) Error() string {
	if e.After <= 0 {
		return ErrRateLimited.Error()
	}
	return fmt.Sprintf("%v: try again in %v", ErrRateLimited, e.After)
}

// Is makes errors.Is(err, ErrRateLimited) true.
func (e *RateLimitError) Is(target error) bool { return target == ErrRateLimited }

// RetryAfter is After.
func (e *RateLimitError) RetryAfter() time.Duration { return e.After }

// Final is false.
func (e *RateLimitError) Final() bool { return false }

// DelayTooLongError says that the homeserver does not hold events back for so
// long (MSC4140).
type DelayTooLongError struct {
	Delay time.Duration // what was asked for
	Max   time.Duration // what it allows, zero if it does not say
	// Reason is what the homeserver said.
	Reason string
}

func (e *DelayTooLongError) Error() string {
	s := fmt.Sprintf("the homeserver does not delay events by %v", e.Delay)
	if e.Max > 0 {
		s += fmt.Sprintf(", but by %v at most", e.Max)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	return s
}

// MaxDelay is Max; tooLong is true.
func (e *DelayTooLongError) MaxDelay() (most time.Duration, tooLong bool) { return e.Max, true }

// Final is true: less delay has to be asked for.
func (e *DelayTooLongError) Final() bool { return true }

// PermissionError says that our power level does not suffice to send an event
// type into a room. It is an ErrForbidden. Sending again is of no use until
// somebody changes the room's power levels.
type PermissionError struct {
	Room matrixrtc.RoomID
	Type string // the event type as it was sent: levels are looked up by its literal name
	// Need is the level that the room asks for, Have the level of this user.
	Need, Have int
	// Reason is what the homeserver said.
	Reason string
}

func (e *PermissionError) Error() string {
	if e.Have >= e.Need {
		return fmt.Sprintf("may not send %s to %s although level %d would suffice (have %d): the homeserver says %q",
			e.Type, e.Room, e.Need, e.Have, e.Reason)
	}
	return fmt.Sprintf("may not send %s to %s: needs power level %d, have %d; ask an administrator of the room to set"+
		" events[%q] in its power levels to %d or less", e.Type, e.Room, e.Need, e.Have, e.Type, e.Have)
}

// Is makes errors.Is(err, ErrForbidden) true.
func (e *PermissionError) Is(target error) bool { return target == ErrForbidden }

// Final is true.
func (e *PermissionError) Final() bool { return true }

// AnswerError is an error answer of the homeserver that has no better type.
type AnswerError struct {
	Op      string // what was asked, in plain words
	Status  int    // HTTP status
	Code    string // errcode, "" if the answer was not a Matrix error
	Message string // the homeserver's own words, shortened
	kind    error  // the sentinel it counts as, or nil
}

func (e *AnswerError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(": ")
	if e.kind != nil {
		b.WriteString(e.kind.Error())
	} else {
		b.WriteString("the homeserver answers with an error")
	}
	fmt.Fprintf(&b, " (HTTP %d", e.Status)
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	b.WriteString(")")
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Unwrap gives the sentinel that the answer counts as.
func (e *AnswerError) Unwrap() error { return e.kind }

// Final reports whether the same request will fail again.
func (e *AnswerError) Final() bool {
	if k, ok := e.kind.(*sentinel); ok {
		return k.final
	}
	return e.Status >= 400 && e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooEarly
}

// Outage is what Sync yields as an error when contact with the homeserver is
// lost: once, and then it retries in silence until batches flow again. It is a
// note: the sequence goes on.
type Outage struct {
	Retry time.Time     // when Sync tries next
	After time.Duration // the time from now to Retry
	Err   error         // why
}

func (e *Outage) Error() string {
	return fmt.Sprintf("no contact with the homeserver, trying again from %s on: %v", e.Retry.Format(time.TimeOnly), e.Err)
}

// Unwrap gives the cause.
func (e *Outage) Unwrap() error { return e.Err }

// RetryAfter is After.
func (e *Outage) RetryAfter() time.Duration { return e.After }

// Final is false, whatever the cause says.
func (e *Outage) Final() bool { return false }

// RoomError is what Sync yields as an error when a part of one room's answer
// could not be used; everything else of the answer is delivered. It is a note:
// the sequence goes on.
type RoomError struct {
	Room matrixrtc.RoomID
	Err  error
}

func (e *RoomError) Error() string { return fmt.Sprintf("room %s: %v", e.Room, e.Err) }

// Unwrap gives the cause.
func (e *RoomError) Unwrap() error { return e.Err }

// Final is false, whatever the cause says.
func (e *RoomError) Final() bool { return false }
