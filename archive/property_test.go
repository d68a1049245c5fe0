package archive_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
)

// TestAnySplit: however a room's history comes into the archive — in pages of
// any size, with overlap, in several calls, some of them cut off, with records
// that came live in between, and with sessions read at any moment — the archive
// is the one that one pass makes.
func TestAnySplit(t *testing.T) {
	t.Parallel()
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	found, rung, declined := 0, 0, 0
	for seed := range uint64(seeds) {
		scene := newScene(seed, seed%2 == 0).steps(160)
		end := scene.now.Add(1)
		want := truth(t, scene.events, end)
		found += len(want)
		for _, w := range want {
			if w.Ring != "" {
				rung++
			}
			if len(w.DeclinedBy) > 0 {
				declined++
			}
		}

		a := open(t, "", &archive.Options{PageLimit: 1 + int(seed)%40})
		r := rand.New(rand.NewPCG(seed, 9))
		var story []string
		for known := 0; known < len(scene.events); {
			known = min(known+1+r.IntN(60), len(scene.events))
			shelf := &shelf{events: scene.events[:known]}
			shelf.size = func() int { return 1 + r.IntN(20) }
			if r.IntN(2) == 0 {
				shelf.overlap = func() int { return r.IntN(8) }
			}
			switch r.IntN(4) {
			case 0: // live, perhaps twice
				from := max(0, known-r.IntN(30))
				if err := a.Add(t.Context(), recordsOf(scene.events[from:known])...); err != nil {
					t.Fatal(err)
				}
				story = append(story, fmt.Sprintf("live %d-%d", from, known))
			case 1: // cut off
				stop := 1 + r.IntN(4)
				shelf.fail = func(n int) error {
					if n > stop {
						return fmt.Errorf("cut off")
					}
					return nil
				}
				_ = a.BackFill(t.Context(), shelf, room, nil)
				story = append(story, fmt.Sprintf("%d pages up to %d", stop, known))
			default:
				backFill(t, a, shelf)
				story = append(story, fmt.Sprintf("all up to %d", known))
			}
			if r.IntN(3) == 0 {
				sessions(t, a, scene.events[known-1].Origin.Add(time.Duration(r.IntN(40))*time.Hour))
				story = append(story, "read")
			}
		}
		last := backFill(t, a, &shelf{events: scene.events, size: func() int { return 1 + r.IntN(20) }})
		if !last.Complete || last.Gaps != 0 {
			t.Errorf("seed %d: after all %+v", seed, last)
		}
		if diff := sameRecords(t, a, scene.events); diff != "" {
			t.Fatalf("seed %d: records after %v (-one pass +archive):\n%s", seed, story, diff)
		}
		if diff := same(want, sessions(t, a, end)); diff != "" {
			t.Fatalf("seed %d: sessions after %v (-one pass +archive):\n%s", seed, story, diff)
		}
	}
	if found < seeds || rung < seeds/4 || declined < seeds/20 {
		t.Errorf("%d sessions, %d of them announced and %d declined in %d scenes: too quiet to prove anything", found, rung, declined, seeds)
	}
}

// TestAgainCostsNothing: a room that has not changed costs one page, and one
// that has costs what is new.
func TestAgainCostsNothing(t *testing.T) {
	t.Parallel()
	scene := newScene(1, false).steps(400)
	old := len(scene.events)
	a := open(t, "", &archive.Options{PageLimit: 20})
	first := &shelf{events: scene.events[:old]}
	if p := backFill(t, a, first); p.New != len(recordsOf(scene.events)) || p.Pages < 20 || !p.Complete ||
		!p.Oldest.Equal(oldest(scene.events)) {
		t.Errorf("first: %+v, %d pages asked", p, first.asked)
	}
	again := &shelf{events: scene.events[:old]}
	if p := backFill(t, a, again); p.New != 0 || p.Pages != 1 || again.asked != 1 {
		t.Errorf("nothing new: %+v, %d pages asked", p, again.asked)
	}
	scene.steps(50)
	fresh := len(recordsOf(scene.events)) - len(recordsOf(scene.events[:old]))
	more := &shelf{events: scene.events}
	if p := backFill(t, a, more); p.New != fresh || p.Pages > fresh/20+2 || !p.Complete {
		t.Errorf("%d more: %+v", fresh, p)
	}
	if diff := sameRecords(t, a, scene.events); diff != "" {
		t.Error(diff)
	}
}

func oldest(events []matrixrtc.Event) (at time.Time) {
	for _, e := range events {
		if at.IsZero() || e.Origin.Before(at) {
			at = e.Origin
		}
	}
	return at
}
