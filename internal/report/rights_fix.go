package report

import (
	"fmt"
	"io"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// Fix is what --fix-permissions changes, or would.
type Fix struct {
	// Level is the level from which on people may join afterwards.
	Level   int           `json:"level"`
	Changes []LevelChange `json:"changes"`
	Skipped []LevelSkip   `json:"skipped,omitempty"`
	// CanChange says that the account may make the changes; WhoCan who may.
	CanChange bool               `json:"can_change"`
	WhoCan    []matrixrtc.UserID `json:"who_can,omitempty"`
	Done      bool               `json:"done"`
	Event     matrixrtc.EventID  `json:"event_id,omitempty"`
}

// LevelChange is one power level before and after.
type LevelChange struct {
	Type   string `json:"type"`
	From   int    `json:"from"`
	To     int    `json:"to"`
	Stated bool   `json:"stated"` // the room names the type already
}

// LevelSkip is a power level that stands in the way and stays.
type LevelSkip struct {
	Type  string `json:"type"`
	Level int    `json:"level"`
	Why   string `json:"why"`
}

// OfFix makes the document of a change.
func OfFix(r *rights.Room, user matrixrtc.UserID, level int, f rights.Fix) *Fix {
	d := &Fix{Level: level, Changes: []LevelChange{}, CanChange: r.MayFix(user, f) == nil}
	for _, c := range f.Changes {
		d.Changes = append(d.Changes, LevelChange(c))
	}
	for _, s := range f.Skipped {
		d.Skipped = append(d.Skipped, LevelSkip{s.Type, s.Need, s.Why})
	}
	if !d.CanChange {
		able := r.Able(r.PowerToFix(f))
		d.WhoCan = able[:min(len(able), maxNamed)]
	}
	return d
}

// WriteFix writes for people what would change.
func WriteFix(w io.Writer, d *Fix, s *Style) {
	if len(d.Changes) == 0 {
		fmt.Fprintf(w, "Everybody from level %d on may state memberships already: there is nothing to change.\n", d.Level)
	} else {
		fmt.Fprintf(w, "So that everybody from level %d on may state memberships, these power levels change, and nothing else:\n\n", d.Level)
		rows := [][]string{{"EVENT TYPE", "NOW", "THEN"}}
		for _, c := range d.Changes {
			now := fmt.Sprint(c.From)
			if !c.Stated {
				now += " (by default)"
			}
			rows = append(rows, []string{Clean(c.Type), now, fmt.Sprint(c.To)})
		}
		WriteTable(w, rows, "  ", s)
	}
	for _, skip := range d.Skipped {
		fmt.Fprintln(w, s.paint(colorNote, fmt.Sprintf("%s stays at level %d: %s.", Clean(skip.Type), skip.Level, CleanLine(skip.Why))))
	}
}
