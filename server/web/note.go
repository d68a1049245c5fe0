package web

import (
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Note is something that people should know: that it happened, or that it is
// the case since At.
type Note struct {
	At    int64  `json:"at"`    // milliseconds since 1970
	Level string `json:"level"` // "info", "warn" or "error"
	Text  string `json:"text"`
	Count int    `json:"count"` // how often in a row, with At the last time
}

type condition struct {
	key   string
	since time.Time
	note  Note
}

const (
	maxNoteText   = 1000 // bytes
	maxConditions = 20
)

// Note adds something that happened. The same text again counts up.
func (b *Board) Note(now time.Time, level slog.Level, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.note(now, levelName(level), clip(text, maxNoteText))
	b.stateChanged()
}

// Condition says that something is the case: text stands on top of the page,
// with the time since when, until Condition is called for the same key with an
// empty text; that it is over then becomes a note.
func (b *Board) Condition(now time.Time, key string, level slog.Level, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.conditions, func(c condition) bool { return c.key == key })
	switch {
	case text == "" && i < 0:
		return
	case text == "":
		c := b.conditions[i]
		b.conditions = slices.Delete(b.conditions, i, i+1)
		b.note(now, "info", fmt.Sprintf("over after %s: %s", now.Sub(c.since).Round(time.Second), c.note.Text))
	case i < 0:
		if len(b.conditions) == maxConditions {
			b.conditions = slices.Delete(b.conditions, 0, 1)
		}
		n := Note{At: now.UnixMilli(), Level: levelName(level), Text: clip(text, maxNoteText), Count: 1}
		b.conditions = append(b.conditions, condition{key, now, n})
	default:
		c := &b.conditions[i]
		if name := levelName(level); c.note.Text == text && c.note.Level == name {
			return
		}
		c.note.Text, c.note.Level = clip(text, maxNoteText), levelName(level)
	}
	b.stateChanged()
}

// note is called with mu held.
func (b *Board) note(now time.Time, level, text string) {
	if n := len(b.notes); n > 0 && b.notes[n-1].Text == text && b.notes[n-1].Level == level {
		b.notes[n-1].At = now.UnixMilli()
		b.notes[n-1].Count++
		return
	}
	b.notes = append(b.notes, Note{At: now.UnixMilli(), Level: level, Text: text, Count: 1})
	if over := len(b.notes) - b.opts.MaxNotes; over > 0 {
		b.notes = slices.Delete(b.notes, 0, over)
	}
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	}
	return "info"
}
