// Package call reads the application m.call (MSC4196): what a member of a call
// says about the call, beyond what every session has. It is pure, and a typed
// view like any other: see matrixrtc.As.
//
// Ringing, declining, raised hands and reactions are not here yet.
package call

import (
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// Intent is what a member means to send. It binds nobody: a member may turn its
// camera on in an audio call.
type Intent string

// The intents. Members may state others.
const (
	Audio Intent = "audio"
	Video Intent = "video"
)

// OrVideo is how to show an intent: what is unknown or not stated counts as
// video (docs/protocol.md R-INTENT-1).
func (i Intent) OrVideo() Intent {
	if i == Audio {
		return Audio
	}
	return Video
}

// Application is the typed view of an application of type m.call:
//
//	app, err := matrixrtc.As[call.Application](member.Application)
type Application struct {
	// Intent is "" if the member states none. MSC4196's "voice" reads as Audio.
	Intent Intent
	// ID ends up naming one call inside a slot (m.call.id of MSC4196); "" if not
	// stated, as deployed clients do.
	ID string
}

var _ matrixrtc.View = Application{}

// Types implements matrixrtc.View.
func (Application) Types() []string { return []string{matrixrtc.AppCall} }

// UnmarshalJSON reads the exact keys and nothing else. A field of the wrong
// type counts as not stated.
func (a *Application) UnmarshalJSON(raw []byte) error {
	*a = Application{}
	var newer string
	fields := jsonscan.Open(raw)
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "m.call.intent":
			s, _ := v.Text()
			a.Intent = Intent(s)
		case "intent":
			newer, _ = v.Text()
		case "m.call.id":
			a.ID, _ = v.Text()
		}
	}
	if a.Intent == "" {
		a.Intent = Intent(newer)
	}
	if a.Intent == "voice" {
		a.Intent = Audio
	}
	return fields.Err()
}
