package clean

import (
	"context"
	"errors"
	"fmt"

	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// ErrNoAnswer: the SFU, or the site in front of it, could not be asked.
var ErrNoAnswer = errors.New("the SFU cannot be asked who is there")

// Source can be asked who is connected to an SFU. Its methods may be called from
// any goroutine.
type Source interface {
	// About are the addresses by which memberships name the SFU: its authorization
	// service and its own. sure says that the names of its rooms are known and not
	// guessed.
	About(ctx context.Context) (services []string, sure bool, err error)
	// Participants lists who is in a room of the SFU; nobody if there is none.
	Participants(ctx context.Context, room string) ([]suspect.Participant, error)
}

// maxAsked bounds the rooms that one question is about.
const maxAsked = 256

// Ask asks a source about the calls of some memberships. The error wraps
// ErrNoAnswer; then nothing is known, which is no reason to end anything.
func Ask(ctx context.Context, from Source, entries []suspect.Entry) (*suspect.SFU, error) {
	services, sure, err := from.About(ctx)
	if err != nil {
		return nil, noAnswer(err)
	}
	s := &suspect.SFU{Services: services, Sure: sure, Rooms: map[string][]suspect.Participant{}}
	names := s.Wanted(entries)
	if len(names) > maxAsked {
		return nil, noAnswer(fmt.Errorf("the room names %d rooms of the SFU, more than %d", len(names), maxAsked))
	}
	for _, name := range names {
		if s.Rooms[name], err = from.Participants(ctx, name); err != nil {
			return nil, noAnswer(err)
		}
	}
	return s, nil
}

func noAnswer(err error) error {
	if errors.Is(err, ErrNoAnswer) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, err)
}

// Local is a source whose room service is at hand.
type Local struct {
	// List lists who is in a room of the SFU.
	List func(ctx context.Context, room string) ([]suspect.Participant, error)
	// Services and Sure are what About says.
	Services []string
	Sure     bool
}

var _ Source = (*Local)(nil)

// About implements Source.
func (l *Local) About(context.Context) ([]string, bool, error) { return l.Services, l.Sure, nil }

// Participants implements Source.
func (l *Local) Participants(ctx context.Context, room string) ([]suspect.Participant, error) {
	list, err := l.List(ctx, room)
	if err != nil {
		return nil, noAnswer(err)
	}
	return list, nil
}
