// Package past turns past sessions into what people and programs read: JSON
// Lines, CSV, statistics, a list and a timeline for the terminal, and the same
// timelines as SVG and HTML with a calendar of call minutes.
//
// It computes no session and keeps none: it is given matrixrtc.PastSession
// values one after the other, in any order, and writes. It knows no clock (the
// moment of the reading is Options.At), reads no file and starts no goroutine.
//
// Every writer here is a value with Add, for one session, and Close or methods
// that write the whole. A writer is used from one goroutine at a time. JSON and
// CSV write while they are fed and hold one line; Stats holds a few bytes per
// stay; List, Timeline and Picture need all sessions before the first line and
// hold a short form of them, of the newest only where that says so.
//
// Whatever is in a session was written by strangers: it reaches a terminal or
// a page with control characters shown as escapes, cut to a sensible length,
// and escaped for where it stands.
package past

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Options says how sessions are shown; nil gives the defaults. Not every field
// concerns every writer.
type Options struct {
	// Location is the time zone of clock times, days and weeks; nil: UTC.
	Location *time.Location
	// At is the moment of the reading: until then goes what is ongoing. Zero: the
	// last thing that is known of the session.
	At time.Time
	// Me is the user who reads: whose missed calls are told, and who is "you".
	Me matrixrtc.UserID
	// RoomName names a room for people; nil or "": its id.
	RoomName func(matrixrtc.RoomID) string
	// Title is the heading of a picture; "": "Calls".
	Title string
	// Width is the number of columns of the terminal; 0: 80.
	Width int
	// Color allows terminal colours, ASCII allows nothing but ASCII in what is
	// ours: bars, dashes, marks.
	Color, ASCII bool
	// Most is how many sessions a Timeline or a Picture draws, the newest; 0:
	// 1000. What is left out is said.
	Most int
}

// or gives the options with every default filled in.
func (o *Options) or() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.Location == nil {
		out.Location = time.UTC
	}
	if out.Width <= 0 {
		out.Width = 80
	}
	if out.Most <= 0 {
		out.Most = 1000
	}
	if out.Title == "" {
		out.Title = "Calls"
	}
	return out
}

// room is what a room is called.
func (o *Options) room(id matrixrtc.RoomID) string {
	if o.RoomName != nil {
		if name := o.RoomName(id); name != "" {
			return clean(name)
		}
	}
	return clean(string(id))
}
