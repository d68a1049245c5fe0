package past

import "strings"

// paint is a terminal colour, by what it means.
type paint string

const (
	strong paint = "1"
	quiet  paint = "2"
	bad    paint = "31"
	good   paint = "32"
	cool   paint = "34"
	odd    paint = "35"
	warm   paint = "33"
)

// style is how text reaches a terminal.
type style struct{ color, ascii bool }

func (o *Options) style() style { return style{o.Color, o.ASCII} }

func (s style) paint(p paint, text string) string {
	if !s.color || p == "" || text == "" {
		return text
	}
	return "\x1b[" + string(p) + "m" + text + "\x1b[0m"
}

// plainly spells what is ours in ASCII; dots for "…" would be wider than it.
var plainly = strings.NewReplacer("–", "-", " · ", ", ", "…", "+", "\u202f", " ")

// line ends a line.
func (s style) line(text string) string {
	text = strings.TrimRight(text, " ")
	if s.ascii {
		text = plainly.Replace(text)
	}
	return text + "\n"
}

// intern keeps equal texts once; 0 is the empty one.
type intern struct {
	ids   map[string]uint32
	texts []string
}

func (t *intern) id(s string) uint32 {
	if s == "" {
		return 0
	}
	id, ok := t.ids[s]
	if !ok {
		s = strings.Clone(s) // not the buffer that it is part of
		t.texts = append(t.texts, s)
		id = uint32(len(t.texts))
		t.ids[s] = id
	}
	return id
}

func (t *intern) text(id uint32) string {
	if id == 0 {
		return ""
	}
	return t.texts[id-1]
}
