package keeper

import (
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Config is what a Keeper keeps. The zero value of a duration is its default.
type Config struct {
	// Dialect writes the events, for a room of this version.
	Dialect matrixrtc.Dialect
	Version matrixrtc.RoomVersion
	// Membership is what to state. Event, Created, Expires, Lifetime and Content
	// are the keeper's business and are not looked at. It is not changed.
	Membership *matrixrtc.Membership

	// Lifetime is how long a statement holds: 4 h, or 1 h in the sticky dialects
	// (which also is their maximum).
	Lifetime time.Duration
	// Unswitched is how long a statement of a state dialect holds while no switch
	// is known to outlive it: an hour, or Lifetime if that is shorter. All sticky
	// events of a key must last equally long (MSC4354), so the sticky dialects
	// have Lifetime only.
	Unswitched time.Duration
	// Refresh is how long after a statement the next one is made: half of its
	// lifetime. It must be shorter than Lifetime.
	Refresh time.Duration
	// Delay is that of the switch: 20 s, or what the homeserver allows. Negative:
	// no switch is ever armed.
	Delay time.Duration
	// Restart is how long after the switch was armed or restarted it is restarted
	// again: a third of its delay. It must be shorter than Delay.
	Restart time.Duration
	// RetryMin and RetryMax bound the pauses between tries: 1 s, and 30 s or a
	// quarter of Lifetime, whichever is shorter.
	RetryMin, RetryMax time.Duration
	// Jitter is a random number that spreads the requests of many devices: pauses
	// become shorter by up to a quarter, those before a refresh by up to a
	// sixteenth. Zero: they do not.
	Jitter uint64
}

const (
	// lateness is how much later than its time a homeserver may send a delayed
	// event (docs/protocol.md R-KEEP-3).
	lateness = 30 * time.Second
	// shortestDelay is the least that we ask for when a homeserver finds our
	// delay too long.
	shortestDelay = 5 * time.Second
	// mend is what "expires" makes up for at most where clocks differ and no switch
	// tells that we are gone: else whose clock is a day ahead would be a ghost for
	// as long.
	mend = time.Hour
	// stubborn is how often a homeserver that has restarted a switch has to say that
	// it cannot hold anything back to be believed.
	stubborn = 30
	// waste is how many switches in a row may go off without having been restarted
	// once.
	waste = 3
	// patience is how many tries of the switch in vain a join waits for.
	patience = 2
)

// settle fills in the defaults.
func (c *Config) settle(sticky bool) error {
	if c.Lifetime == 0 {
		c.Lifetime = 4 * time.Hour
		if sticky {
			c.Lifetime = time.Hour
		}
	}
	if c.Unswitched == 0 || sticky {
		c.Unswitched = c.Lifetime
		if !sticky {
			c.Unswitched = min(c.Lifetime, time.Hour)
		}
	}
	if c.Delay == 0 {
		c.Delay = 20 * time.Second
	}
	short := func(d, least time.Duration) bool { return d != 0 && d < least }
	switch {
	case short(c.Lifetime, time.Second), short(c.Refresh, time.Second), short(c.Unswitched, time.Second),
		c.Delay > 0 && short(c.Delay, time.Second), short(c.Restart, time.Second/4), short(c.RetryMin, time.Second/4), c.RetryMax < 0:
		return errors.New("no homeserver wants to hear of us that often: make lifetime, refresh and delay a second at least, restart and pauses a quarter of one")
	case c.Lifetime < 0 || c.Refresh < 0 || c.Refresh >= c.Lifetime:
		return fmt.Errorf("refresh after %v does not keep a membership of %v: make it shorter", c.Refresh, c.Lifetime)
	case c.Unswitched < 0 || c.Unswitched > c.Lifetime:
		return fmt.Errorf("without a switch a membership cannot hold for %v, longer than the %v with one: make it shorter", c.Unswitched, c.Lifetime)
	case sticky && c.Lifetime > time.Hour:
		return fmt.Errorf("a sticky membership of %v is too long: an hour is the most (MSC4354)", c.Lifetime)
	case c.Delay > 0 && (c.Restart < 0 || c.Restart >= c.Delay):
		return fmt.Errorf("restarting after %v does not hold back a leave in %v: make it shorter", c.Restart, c.Delay)
	}
	if c.RetryMin == 0 {
		c.RetryMin = time.Second
	}
	if c.RetryMax == 0 {
		c.RetryMax = min(30*time.Second, c.Lifetime/4)
	}
	c.RetryMax = max(c.RetryMin, c.RetryMax)
	return nil
}

// refreshAfter is when a statement of this lifetime is made again.
func (c *Config) refreshAfter(lifetime time.Duration) time.Duration {
	if c.Refresh == 0 || lifetime < c.Lifetime && c.Refresh > lifetime/2 {
		return lifetime / 2
	}
	return c.Refresh
}

// riskBefore is how long before the end of a statement we are at risk.
func (c *Config) riskBefore(lifetime time.Duration) time.Duration {
	return min(lifetime/4, (lifetime-c.refreshAfter(lifetime))/2)
}

// random is the next number of a sequence that Jitter begins (splitmix64).
func (k *Keeper) random() uint64 {
	k.chance += 0x9e3779b97f4a7c15
	z := k.chance
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// spread makes a pause shorter by up to that part of it.
func (k *Keeper) spread(d time.Duration, part int) time.Duration {
	if k.cfg.Jitter == 0 || d <= 0 {
		return d
	}
	return d - time.Duration(k.random()%uint64(d/time.Duration(part)+1))
}
