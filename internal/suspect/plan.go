package suspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// Plan is how to end a membership: an event to send, else events to redact.
type Plan struct {
	Send   *matrixrtc.Outgoing
	Redact []matrixrtc.EventID // in this order
}

// ErrCannotEnd: the membership cannot be ended by this user; the error says why,
// and who could.
var ErrCannotEnd = errors.New("cannot be ended")

// Plan says how a user ends a membership (docs/protocol.md R-CLEAN-3, R-CLEAN-4).
// Everybody may end their own, of any of their devices. The memberships of others
// are for moderators, those who may redact, although many rooms let everybody
// overwrite them.
func (e *Entry) Plan(self matrixrtc.UserID, room *rights.Room) (Plan, error) {
	levels := room.Levels
	have, own := levels.Of(self), e.User == self
	if !own && have < levels.Redact {
		return Plan{}, fmt.Errorf("%w: it is %s's; ending it takes level %d, and %s has %d", ErrCannotEnd, e.User, levels.Redact, self, have)
	}
	if e.Shares {
		return Plan{}, fmt.Errorf("%w: its event states other memberships of %s, too", ErrCannotEnd, e.User)
	}
	if out, ok := e.sending(self, room); ok {
		return Plan{Send: &out}, nil
	}
	if need := levels.Need(matrixrtc.TypeRoomRedaction, false); have < need {
		return Plan{}, fmt.Errorf("%w: it takes level %d to redact it, and %s has %d", ErrCannotEnd, need, self, have)
	}
	if have < levels.Redact && !own {
		return Plan{}, fmt.Errorf("%w: it takes level %d", ErrCannotEnd, levels.Redact)
	}
	// What stands beneath goes first, or it would count for a moment.
	return Plan{Redact: append(append([]matrixrtc.EventID{}, e.Beneath...), e.Event)}, nil
}

// sending is the event that ends a membership, if the user may send one.
func (e *Entry) sending(self matrixrtc.UserID, room *rights.Room) (matrixrtc.Outgoing, bool) {
	levels := room.Levels
	have, own := levels.Of(self), e.User == self
	if have < levels.Need(e.Type, e.State) {
		return matrixrtc.Outgoing{}, false
	}
	if e.State {
		// A key that begins with a user's id is that user's, and in some room
		// versions that of users with more power.
		if strings.HasPrefix(e.Key, "@") && !own && !(rights.OwnedKeys(room.Version) && have > levels.Of(e.User)) {
			return matrixrtc.Outgoing{}, false
		}
		key := e.Key
		return matrixrtc.Outgoing{Type: e.Type, StateKey: &key, Content: json.RawMessage("{}")}, true
	}
	// Nobody can send a sticky event for somebody else. In an encrypted room a
	// clear leave would be read by some and not by others.
	if !own || room.Encrypted {
		return matrixrtc.Outgoing{}, false
	}
	var d matrixrtc.Dialect = matrixrtc.Sticky
	if e.Dialect == matrixrtc.DialectSlot {
		d = matrixrtc.Slot
	}
	out := d.Leave(e.Membership, "", room.Version)
	out.Type = e.Type // the key is of this type
	return out, true
}
