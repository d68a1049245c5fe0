package report

import (
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Sessions is what `sessions --json` prints: the document of the rooms, and
// what had to be left out of it.
type Sessions struct {
	Document
	// Encrypted lists the rooms that are encrypted: memberships which are sent
	// encrypted cannot be read there.
	Encrypted []matrixrtc.RoomID `json:"encrypted_rooms,omitempty"`
	// Input lists the parts of a file that could not be read.
	Input []Input `json:"input_problems,omitempty"`
}

// Input is a part of a file that could not be read and was left out.
type Input struct {
	Line    int               `json:"line"`
	Event   matrixrtc.EventID `json:"event_id,omitempty"`
	Problem string            `json:"problem"`
}

// SessionsOf makes the document of `sessions --json`.
func SessionsOf(at time.Time, input []Input, rooms ...*matrixrtc.Room) Sessions {
	d := Sessions{Document: Rooms(at, rooms...), Input: input}
	for _, r := range rooms {
		if r.Encrypted() {
			d.Encrypted = append(d.Encrypted, r.ID())
		}
	}
	slices.Sort(d.Encrypted)
	return d
}
