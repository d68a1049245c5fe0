package gapfill

import (
	"sync"
	"time"
)

// clock is the site's time: that of the wall clock, but it never goes back. When
// somebody sets the wall clock back, the site's time goes on ahead of it: an
// event that waits would otherwise wait that much longer.
type clock struct {
	wall func() time.Time     // may jump
	mono func() time.Duration // does not

	mu       sync.Mutex
	ahead    time.Duration // of the wall clock
	lastWall time.Time
	lastMono time.Duration
}

// jump is how much of a difference is not a matter of when one looked.
const jump = 500 * time.Millisecond

func realClock() *clock {
	start := time.Now()
	return newClock(func() time.Time { return time.Now().Round(0) }, func() time.Duration { return time.Since(start) })
}

func newClock(wall func() time.Time, mono func() time.Duration) *clock {
	return &clock{wall: wall, mono: mono, lastWall: wall(), lastMono: mono()}
}

// now is the site's time.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, mono := c.wall(), c.mono()
	if back := (mono - c.lastMono) - wall.Sub(c.lastWall); back > jump {
		c.ahead += back
	}
	c.lastWall, c.lastMono = wall, mono
	return wall.Add(c.ahead)
}

// atLeast sets the time forward: somebody has seen it so late already.
func (c *clock) atLeast(t time.Time) (by time.Duration) {
	if by = t.Sub(c.now()); by <= 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += by
	return by
}
