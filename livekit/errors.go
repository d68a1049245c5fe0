package livekit

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Errors that a caller may want to tell apart, besides those of package media.
var (
	// ErrServiceUnreachable: the authorization service does not answer, or not
	// as one.
	ErrServiceUnreachable = errors.New("authorization service cannot be reached")
	// ErrSFUUnreachable: the SFU does not answer, or no media path to it can be
	// found.
	ErrSFUUnreachable = errors.New("SFU cannot be reached")
	// ErrNoRoom: the SFU does not know the room. Users of other homeservers
	// wait for somebody of the SFU's own to open it. An SFU older than LiveKit
	// 1.9.2 answers the same.
	ErrNoRoom = errors.New("the SFU has no such room yet, or is older than LiveKit 1.9.2")
	// ErrNoRecipient: nobody whom the message is for is connected here.
	ErrNoRecipient = errors.New("no recipient of the message is connected")
	// ErrTooLarge: the message is longer than MaxMessage.
	ErrTooLarge = fmt.Errorf("message is longer than %d bytes", MaxMessage)
	// ErrReplaced: somebody else has joined under our identity, such as a second
	// program with the same device. It is a media.ErrRefused.
	ErrReplaced = fmt.Errorf("%w: another connection uses the same device", media.ErrRefused)
	// ErrRemoved: the SFU has removed us. It is a media.ErrRefused.
	ErrRemoved = fmt.Errorf("%w: removed from the call by its server", media.ErrRefused)
)

// RefusedError is an answer of the authorization service that is no token.
type RefusedError struct {
	Endpoint string // path
	Status   int    // of HTTP
	Code     string // Matrix error code, may be empty
	Message  string // the service's words, may be empty
	// RetryAfter is how long the service asks us to wait.
	RetryAfter time.Duration
}

func (e *RefusedError) Error() string {
	s := fmt.Sprintf("authorization service: %s answers %d %s", e.Endpoint, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	switch {
	case e.Code == authapi.CodeUnauthorized:
		s += " (it could not verify the user with the homeserver)"
	case e.Status == http.StatusNotFound:
		s += " (is livekit_service_url right?)"
	}
	return s
}

// Is makes clear refusals a media.ErrRefused, and failures of the service an
// ErrServiceUnreachable.
func (e *RefusedError) Is(target error) bool {
	refused := e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout
	switch target {
	case media.ErrRefused:
		return refused
	case ErrServiceUnreachable:
		return !refused
	}
	return false
}

// patience is how many times in a row the same kind of error is met before a
// connection that was up gives up; 0: at once, -1: never.
func patience(err error) int {
	var refused *RefusedError
	var final interface{ Final() bool }
	switch {
	case errors.As(err, &final) && final.Final():
		return 0
	case errors.Is(err, ErrReplaced), errors.Is(err, ErrRemoved):
		return 0
	case errors.As(err, &refused):
		switch refused.Status {
		case http.StatusBadRequest, http.StatusForbidden:
			return 0
		case http.StatusUnauthorized, http.StatusNotFound:
			// The service cannot reach the homeserver, or something in front
			// of it cannot reach the service: both pass, or they do not.
			return 8
		}
		return -1
	case errors.Is(err, media.ErrRefused):
		return 8
	}
	return -1
}
