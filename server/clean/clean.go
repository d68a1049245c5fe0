package clean

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// Config says what a Cleaner does. The zero value does nothing.
type Config struct {
	// Enabled has it run at all.
	Enabled bool `yaml:"enabled"`
	// Rooms are the ids of the rooms that it may act in. Empty: every room that the
	// account is in. In any of them it acts only if the account may redact.
	Rooms []matrixrtc.RoomID `yaml:"rooms"`
	// TokenFile holds the access token of the account that acts, or the as_token of
	// an application service. CredentialsFile is a stored login instead.
	TokenFile       string `yaml:"token_file"`
	CredentialsFile string `yaml:"credentials_file"`
	// Every is how often it looks; 0: 30 s, at least 5 s.
	Every time.Duration `yaml:"every"`
	// Grace is for how long nobody must have been on the SFU, over at least two
	// looks; 0: 2 min, at least 1 min.
	Grace time.Duration `yaml:"grace"`
	// PerHour bounds the memberships that it ends in an hour; 0: 60.
	PerHour int `yaml:"per_hour"`
	// DryRun has it log what it would end, and end nothing.
	DryRun bool `yaml:"dry_run"`
}

// The defaults and the least.
const (
	defaultEvery = 30 * time.Second
	leastEvery   = 5 * time.Second
	defaultGrace = 2 * time.Minute
	leastGrace   = time.Minute
	perHour      = 60
)

// Homeserver is the account that acts. *homeserver.Client is one; for the methods
// see client.Homeserver.
type Homeserver interface {
	Self() (matrixrtc.UserID, matrixrtc.DeviceID)
	Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error]
	Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error)
	Redact(ctx context.Context, room matrixrtc.RoomID, event matrixrtc.EventID, reason string) (matrixrtc.EventID, error)
}

// Options are optional; nil means the defaults.
type Options struct {
	// Logger is told of every end; nil: discard.
	Logger *slog.Logger
}

// Cleaner ends memberships whose media would be at one SFU, and whose device has
// not been there for a while. It ends nothing else: none that it cannot see all of,
// none that is doubtful (docs/protocol.md R-CLEAN-1, R-CLEAN-2), none while it has no
// contact with the homeserver or the SFU, and none that is already over by its own
// clock, which needs no help.
//
// It is made by New and runs in Run, in one goroutine and one that Run waits for.
type Cleaner struct {
	cfg  Config
	hs   Homeserver
	sfu  Source
	log  *slog.Logger
	opts suspect.Options

	// Of Run's goroutine.
	rooms   map[matrixrtc.RoomID]*suspect.Room
	batches chan element
	failed  error                           // by the homeserver, for good
	down    bool                            // no contact with the homeserver
	ended   map[matrixrtc.EventID]time.Time // that we ended in the last hour
	told    map[matrixrtc.RoomID]bool       // that we may not act there
}

// ErrNotSure: the source guesses the names of the SFU's rooms.
var ErrNotSure = errors.New("members are ended by themselves only where the SFU and its authorization service are this site's own")

// New makes a Cleaner. The error says what is wrong with the configuration.
func New(cfg Config, hs Homeserver, from Source, opts *Options) (*Cleaner, error) {
	c := &Cleaner{cfg: cfg, hs: hs, sfu: from, log: slog.New(slog.DiscardHandler),
		rooms: map[matrixrtc.RoomID]*suspect.Room{}, batches: make(chan element),
		ended: map[matrixrtc.EventID]time.Time{}, told: map[matrixrtc.RoomID]bool{}}
	if opts != nil && opts.Logger != nil {
		c.log = opts.Logger
	}
	if err := c.cfg.Check(); err != nil {
		return nil, err
	}
	c.cfg.fill()
	c.opts = suspect.Options{Confirm: c.cfg.Grace}
	return c, nil
}

// Check says what is wrong with a configuration.
func (c *Config) Check() error {
	switch {
	case c.Every != 0 && c.Every < leastEvery:
		return fmt.Errorf("every: %v is too often: want at least %v", c.Every, leastEvery)
	case c.Grace != 0 && c.Grace < leastGrace:
		return fmt.Errorf("grace: %v is too short, clients that reconnect would be ended: want at least %v", c.Grace, leastGrace)
	case c.PerHour < 0:
		return errors.New("per_hour: want a number of memberships, or 0 for the default")
	case c.TokenFile != "" && c.CredentialsFile != "":
		return errors.New("token_file: give it or credentials_file, not both")
	case c.Enabled && c.TokenFile == "" && c.CredentialsFile == "":
		return errors.New("token_file: who acts? Name a file with an access token, or credentials_file with a stored login")
	}
	for _, room := range c.Rooms {
		if len(room) < 2 || room[0] != '!' {
			return fmt.Errorf("rooms: a room id starts with ! and %q does not", room)
		}
	}
	return nil
}

func (c *Config) fill() {
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	if c.PerHour == 0 {
		c.PerHour = perHour
	}
}

// Run looks, and ends, until ctx ends: nil. It fails when the homeserver wants no
// more of the account, or if the source only guesses (ErrNotSure). It can be called
// once.
func (c *Cleaner) Run(ctx context.Context) error {
	if _, sure, err := c.sfu.About(ctx); err != nil {
		return noAnswer(err)
	} else if !sure {
		return ErrNotSure
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { // waited for below
		defer close(ended)
		defer close(c.batches)
		for b, err := range c.hs.Sync(ctx, "", nil) {
			select {
			case c.batches <- element{b, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() {
		stop()
		<-ended
	}()
	user, _ := c.hs.Self()
	c.log.Info("members that are dead are ended by this site", "user", user, "every", c.cfg.Every, "grace", c.cfg.Grace,
		"rooms", len(c.cfg.Rooms), "dry_run", c.cfg.DryRun)
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-c.batches:
			c.take(e, ok)
		case <-tick.C:
			c.look(ctx)
		}
		if c.failed != nil && ctx.Err() == nil {
			return c.failed
		}
	}
}

// element is what the sync yielded once.
type element struct {
	batch matrixrtc.Batch
	err   error
}

// take takes in what the sync says.
func (c *Cleaner) take(e element, ok bool) {
	var outage interface{ RetryAfter() time.Duration }
	var final interface{ Final() bool }
	switch {
	case !ok:
		c.failed = cmp.Or(c.failed, errSilent)
		return
	case e.err != nil && errors.As(e.err, &final) && final.Final():
		c.failed = e.err
		return
	case e.err != nil && errors.As(e.err, &outage):
		c.down = true
		return
	case e.err != nil:
		c.log.Debug("sync", "err", e.err)
		return
	}
	c.down = false
	switch id := e.batch.Room; {
	case id == "" || len(c.cfg.Rooms) > 0 && !slices.Contains(c.cfg.Rooms, id):
	case e.batch.Left:
		delete(c.rooms, id)
	default:
		if c.rooms[id] == nil {
			c.rooms[id] = suspect.NewRoom(id, nil)
		}
		c.rooms[id].Apply(e.batch, time.Now())
	}
}

var errSilent = errors.New("the homeserver says nothing any more")

// look judges every room once.
func (c *Cleaner) look(ctx context.Context) {
	if c.down {
		return
	}
	now := time.Now()
	maps.DeleteFunc(c.ended, func(_ matrixrtc.EventID, at time.Time) bool { return now.Sub(at) > time.Hour })
	for _, id := range slices.Sorted(maps.Keys(c.rooms)) {
		room := c.rooms[id]
		entries := room.Entries(now)
		if len(entries) == 0 {
			continue
		}
		sight, err := Ask(ctx, c.sfu, entries)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("the SFU does not say who is there; nobody is ended", "room", id, "err", err)
		}
		// Without an answer the grace begins anew.
		for _, v := range room.Judge(sight, time.Now(), &c.opts) {
			if dead(&v) {
				c.end(ctx, room, &v)
			}
		}
	}
}

// dead reports whether a verdict is one to act upon without being asked.
func dead(v *suspect.Verdict) bool {
	return v.Counted && v.Sight == suspect.Absent && v.Certainty == suspect.Certain && slices.Contains(v.Reasons, suspect.NoParticipant)
}

// end ends one membership, if it may.
func (c *Cleaner) end(ctx context.Context, room *suspect.Room, v *suspect.Verdict) {
	self, _ := c.hs.Self()
	log := c.log.With("room", room.ID(), "slot", v.Slot, "user", v.User, "device", v.Device, "event", v.Event)
	if _, done := c.ended[v.Event]; done {
		return
	}
	plan, err := v.Plan(self, room.Rights())
	if err != nil {
		if !c.told[room.ID()] {
			c.told[room.ID()] = true
			log.Info("a member is dead, and this account may not end it", "err", err)
		}
		return
	}
	now := time.Now()
	if len(c.ended) >= c.cfg.PerHour {
		log.Warn("a member is dead, and as many were ended in the last hour as per_hour allows", "per_hour", c.cfg.PerHour)
		return
	}
	if !c.still(ctx, room, v) {
		return
	}
	c.ended[v.Event] = now
	if c.cfg.DryRun {
		log.Info("a member is dead and would be ended", "absent", now.Sub(v.AbsentSince).Round(time.Second))
		return
	}
	if err := Carry(ctx, c.hs, room.ID(), plan); err != nil {
		log.Warn("a member is dead and could not be ended", "err", err)
		return
	}
	log.Info("ended the membership of a device that is not on the SFU", "absent", now.Sub(v.AbsentSince).Round(time.Second), "dialect", v.Dialect)
}

// still looks once more, right before an end: the same event must stand, and the SFU
// must miss it.
func (c *Cleaner) still(ctx context.Context, room *suspect.Room, v *suspect.Verdict) bool {
	for waiting := true; waiting && c.failed == nil; {
		select {
		case e, ok := <-c.batches:
			c.take(e, ok)
		default:
			waiting = false
		}
	}
	now := time.Now()
	entries := slices.DeleteFunc(room.Entries(now), func(e suspect.Entry) bool { return e.Event != v.Event || !e.Counted })
	if c.down || c.failed != nil || c.rooms[room.ID()] != room || len(entries) != 1 {
		return false
	}
	sight, err := Ask(ctx, c.sfu, entries)
	return err == nil && suspect.Judge(entries, sight, nil, now, &c.opts)[0].Sight == suspect.Absent
}

// reason stands in redactions.
const reason = "this device is not in the call any more"

// Carry carries a plan out: one event is sent, or events are redacted.
func Carry(ctx context.Context, hs interface {
	Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error)
	Redact(ctx context.Context, room matrixrtc.RoomID, event matrixrtc.EventID, reason string) (matrixrtc.EventID, error)
}, room matrixrtc.RoomID, plan suspect.Plan) error {
	if plan.Send != nil {
		_, err := hs.Send(ctx, room, *plan.Send)
		return err
	}
	for _, id := range plan.Redact {
		if _, err := hs.Redact(ctx, room, id, reason); err != nil {
			return err
		}
	}
	return nil
}
