package rights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/matrixrtc-go/matrixrtc"
)

// MemberTypes are the event types that memberships are sent as, under every
// name: what has to be allowed so that members may join.
func MemberTypes() []string {
	return []string{matrixrtc.TypeCallMember, matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable}
}

// Change is the level of one event type, before and after.
type Change struct {
	Type     string
	From, To int
	Stated   bool // the room names the type already
}

// Skip is a level that stands in the way and is left as it is.
type Skip struct {
	Type string
	Need int
	Why  string // in plain words
}

// Fix is what has to change so that everybody from a level on may state
// memberships, and nothing else.
type Fix struct {
	Changes []Change
	Skipped []Skip
}

// Fix computes it. A type that anybody of that level may send already is not
// touched, nothing is ever raised, and slots stay with moderators.
//
// In an encrypted room memberships of the sticky dialects are sent as
// m.room.encrypted. Where that needs more than an ordinary message does, it keeps
// people from joining for no reason, and is lowered. Where it needs as much, the
// room does not want these people to write, and it stays: they may join in the
// dialects that use state events.
func (r *Room) Fix(target int) Fix {
	var f Fix
	for _, typ := range MemberTypes() {
		need := r.Levels.Need(typ, true)
		if typ != matrixrtc.TypeCallMember && !r.Encrypted {
			// It is sent as a message, too; in an encrypted room under another type.
			need = max(need, r.Levels.Need(typ, false))
		}
		if need > target {
			_, stated := r.Levels.Events[typ]
			f.Changes = append(f.Changes, Change{typ, need, target, stated})
		}
	}
	if !r.Encrypted {
		return f
	}
	const secret, message = matrixrtc.TypeRoomEncrypted, "m.room.message"
	need, stated := r.Levels.Need(secret, false), false
	if _, stated = r.Levels.Events[secret]; need <= target {
		return f
	}
	if plain := r.Levels.Need(message, false); stated && plain <= target {
		f.Changes = append(f.Changes, Change{secret, need, target, true})
	} else {
		f.Skipped = append(f.Skipped, Skip{secret, need,
			"whoever may send it may write any encrypted message, and ordinary messages need level " + fmt.Sprint(plain) + " here, too"})
	}
	return f
}

// ErrTooLittlePower: the user may not change the levels.
var ErrTooLittlePower = errors.New("not enough power")

// MayFix reports whether a user may make the changes: nil, or an
// ErrTooLittlePower that says what is missing. Nobody may touch a level above
// their own.
func (r *Room) MayFix(user matrixrtc.UserID, f Fix) error {
	have := r.Levels.Of(user)
	if need := r.PowerToFix(f); have < need {
		return fmt.Errorf("%w: %s has level %d, and changing these power levels takes %d", ErrTooLittlePower, user, have, need)
	}
	return nil
}

// PowerToFix is the level that it takes to make the changes.
func (r *Room) PowerToFix(f Fix) int {
	need := r.Levels.Need(matrixrtc.TypeRoomPowerLevels, true)
	for _, c := range f.Changes {
		need = max(need, c.To)
		if c.Stated {
			need = max(need, c.From)
		}
	}
	return need
}

// ErrOddLevels: the power levels of the room are written in a way that cannot be
// changed without touching something else.
var ErrOddLevels = errors.New("the room's power levels cannot be changed without changing more")

// Apply makes the changes in the content of m.room.power_levels. Everything else
// keeps its bytes.
func (f Fix) Apply(content json.RawMessage) (json.RawMessage, error) {
	top := map[string]json.RawMessage{}
	if err := json.Unmarshal(content, &top); err != nil || top == nil {
		return nil, fmt.Errorf("%w: they are no JSON object", ErrOddLevels)
	}
	events := map[string]json.RawMessage{}
	if raw, ok := top["events"]; ok {
		if err := json.Unmarshal(raw, &events); err != nil || events == nil {
			return nil, fmt.Errorf("%w: their list of events is no JSON object", ErrOddLevels)
		}
	}
	for _, c := range f.Changes {
		events[c.Type] = json.RawMessage(fmt.Sprint(c.To))
	}
	raw, err := marshal(events)
	if err != nil {
		return nil, err
	}
	top["events"] = raw
	return marshal(top)
}

// marshal does not escape what canonical JSON does not escape.
func marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOddLevels, err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
