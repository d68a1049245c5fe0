package keeper_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts plays the scripts in testdata: what happens stands above the
// line of dashes, what comes of it below. The homeserver answers after 100 ms
// unless the script says otherwise; restarts in a row are counted.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(text), "----\n")
			got := play(t, script)
			if *update {
				if err := os.WriteFile(file, []byte(script+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// play runs a script.
func play(t *testing.T, script string) string {
	t.Helper()
	d := map[string]matrixrtc.Dialect{
		"call": matrixrtc.Call, "draft": matrixrtc.Draft, "sticky": matrixrtc.Sticky, "slot": matrixrtc.Slot,
	}
	dialect := matrixrtc.Call
	var edits []func(*keeper.Config)
	var w *world
	fates := map[string]fate{} // "kind n"
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		f = append(f, "", "")
		dur := func(s string) time.Duration {
			d, err := time.ParseDuration(strings.Replace(s, "d", "h", 1))
			if strings.HasSuffix(s, "d") {
				d *= 24
			}
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			return d
		}
		switch f[0] { // before the beginning
		case "dialect":
			dialect = d[f[1]]
			continue
		case "set":
			v := dur(f[2])
			edits = append(edits, func(c *keeper.Config) {
				*map[string]*time.Duration{"lifetime": &c.Lifetime, "refresh": &c.Refresh, "delay": &c.Delay}[f[1]] = v
			})
			continue
		}
		if w == nil {
			w = newWorld(t, dialect, func(c *keeper.Config) {
				for _, edit := range edits {
					edit(c)
				}
			})
			w.fate = func(k kind, n int) fate {
				if f, is := fates[fmt.Sprint(k, " ", n)]; is {
					return f
				}
				return fates[fmt.Sprint(k, " *")]
			}
		}
		switch f[0] {
		case "fate": // fate restart 3 hangs; a number counts from now on
			found := false
			key := f[1] + " " + f[2]
			if n, err := strconv.Atoi(f[2]); err == nil {
				key = fmt.Sprint(f[1], " ", w.counts[kind(f[1])]+n)
			}
			for x := range fates_ {
				if x.String() == f[3] {
					fates[key], found = x, true
				}
			}
			if !found {
				t.Fatalf("no fate in %q", line)
			}
		case "server":
			map[string]func(){
				"without-delays": func() { w.noDelays = true }, "misrouted": func() { w.misrouted = true },
				"cancels": func() { w.cancels = true }, "sends-at-once": func() { w.atOnce = true },
				"at-most": func() { w.longest = dur(f[2]) }, "late": func() { w.tardy = dur(f[2]) }, "forbids": func() { w.forbidden = true },
				"allows": func() { w.forbidden = false }, "forgets": w.forget,
			}[f[1]]()
		case "clock":
			w.setClock(dur(f[1]))
		default:
			w.command(t, f, dur)
		}
	}
	w.run(0)
	return w.story()
}

func (w *world) command(t *testing.T, f []string, dur func(string) time.Duration) {
	t.Helper()
	do, is := map[string]func(){
		"join":      func() { w.step(keeper.Join{}) },
		"leave":     func() { w.step(keeper.Leave{Reason: f[1]}) },
		"update":    func() { w.step(keeper.Update{Membership: w.with(f[1])}) },
		"run":       func() { w.run(dur(f[1])) },
		"sleep":     func() { w.say("asleep"); w.sleep(dur(f[1])); w.say("awake") },
		"cut":       func() { w.say("network down"); w.network(false) },
		"mend":      func() { w.say("network up"); w.network(true) },
		"crash":     func() { w.say("crash"); w.crash() },
		"overwrite": func() { w.say("a moderator overwrites the key"); w.moderator(false) },
		"redact":    func() { w.say("a moderator redacts"); w.moderator(true) },
		"kick":      func() { w.say("kicked"); w.kick() },
		"close":     func() { w.say("the slot is closed"); w.slot(false) },
		"other":     func() { w.say("another client of the device: %s", f[1]); w.other(f[1] == "joins") },
		"leak": func() { // what was scheduled before a crash
			w.delays++
			out := w.cfg.Dialect.Leave(w.k.Membership(), "", w.cfg.Version)
			w.delayed = append(w.delayed, &scheduled{"leak", out, dur(f[1]), w.now.Add(dur(f[1]))})
		},
	}[f[0]]
	if !is {
		t.Fatalf("no command %q", f[0])
	}
	do()
}

// with is our membership with another intent.
func (w *world) with(intent string) *matrixrtc.Membership {
	m := *w.cfg.Membership
	m.Intent = intent
	return &m
}
