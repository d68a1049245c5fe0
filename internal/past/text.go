package past

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxShown is how many characters of one text of a stranger are shown at most.
const maxShown = 255

// clean makes a stranger's text safe to show: controls, and what reorders or
// hides text, become escapes, and what is very long is cut.
func clean(s string) string {
	if len(s) > maxShown {
		n := 0
		for i := range s {
			if n++; n > maxShown {
				return escapeControls(s[:i]) + "…"
			}
		}
	}
	return escapeControls(s)
}

// escapeControls is clean without the cut.
func escapeControls(s string) string {
	safe := true
	for _, r := range s {
		safe = safe && shown(r)
	}
	if safe {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if shown(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func shown(r rune) bool {
	return r != utf8.RuneError && unicode.IsGraphic(r) && !unicode.Is(unicode.Zl, r) && !unicode.Is(unicode.Zp, r)
}

// columns is how many columns of a terminal a text takes, near enough: wide
// scripts and pictures take two, marks that combine none.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// fit cuts a text to a number of columns; the ellipsis is one of them.
func fit(s string, most int) string {
	if columns(s) <= most {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeColumns(r); n > most-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// pad fills a text up with spaces.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-columns(s)))
}

// lasting writes a duration as people say it: "35 s", "12 min", "1 h 12 min",
// "3 days".
func lasting(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		if m := int(d/time.Minute) % 60; m != 0 {
			return fmt.Sprintf("%d h %d min", d/time.Hour, m)
		}
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// total writes a sum of time; hours are not turned into days, so that sums can
// be compared.
func total(d time.Duration) string {
	if d < time.Hour {
		return lasting(d)
	}
	return grouped(int64(d/time.Hour)) + " h " + fmt.Sprintf("%02d min", int(d/time.Minute)%60)
}

// grouped writes a number with its thousands apart.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(int64(n)) + " " + what + "s"
}
