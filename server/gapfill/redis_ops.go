package gapfill

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record reads an event from the fields and values of its hash.
func record(hash any) (d Delayed) {
	list, _ := hash.([]any)
	for i := 0; i+1 < len(list); i += 2 {
		v := text(list, i+1)
		switch text(list, i) {
		case "id":
			d.ID = v
		case "user":
			d.User = v
		case "device":
			d.Device = v
		case "room":
			d.Room = v
		case "type":
			d.Type = v
		case "state_key":
			d.StateKey = &v
		case "content":
			d.Content = json.RawMessage(v)
		case "sticky":
			d.Sticky = milliseconds(v)
		case "delay":
			d.Delay = milliseconds(v)
		case "since":
			d.Since = instant(v)
		case "created":
			d.Created = instant(v)
		case "txn":
			d.Txn = v
		case "token":
			d.Token = []byte(v)
		case "state":
			d.State = State(v)
		case "at":
			d.At = instant(v)
		case "turn":
			d.Turn, _ = strconv.Atoi(v)
		case "tried":
			d.Tried = instant(v)
		case "doubt":
			d.Doubt = true
		case "event_id":
			d.EventID = v
		case "error":
			d.Error = json.RawMessage(v)
		case "finalised":
			d.Finalised = instant(v)
		}
	}
	return d
}

func records(answer []any) (list []Delayed) {
	for _, hash := range answer {
		list = append(list, record(hash))
	}
	return list
}

func milliseconds(s string) time.Duration {
	ms, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(ms) * time.Millisecond
}

func (s *redisStore) Put(ctx context.Context, d *Delayed, limits Limits) (string, error) {
	since, delay := up(d.Since), d.Delay.Milliseconds()
	args := []any{
		d.ID, d.User, d.Txn, limits.PerUser, limits.Total, since + delay,
		"device", d.Device, "room", d.Room, "type", d.Type, "content", []byte(d.Content),
		"sticky", d.Sticky.Milliseconds(), "delay", delay, "since", since, "created", since,
	}
	if d.StateKey != nil {
		args = append(args, "state_key", *d.StateKey)
	}
	if d.Token != nil {
		args = append(args, "token", d.Token)
	}
	answer, err := s.run(ctx, "put", args...)
	return text(answer, 0), err
}

func (s *redisStore) Get(ctx context.Context, id string) (*Delayed, error) {
	return one(s.run(ctx, "get", id))
}

// one is the event that an answer consists of.
func one(answer []any, err error) (*Delayed, error) {
	if err != nil {
		return nil, err
	}
	d := record(answer[0])
	return &d, nil
}

func (s *redisStore) List(ctx context.Context, user string, page Page) ([]Delayed, string, error) {
	if !page.Final {
		answer, err := s.run(ctx, "open", user, page.From, page.Limit)
		if err != nil {
			return nil, "", err
		}
		return records(answer[2:]), text(answer, 0), nil
	}
	var score, id string
	if page.From != "" {
		at, rest, ok := strings.Cut(page.From, ".")
		if ms, err := strconv.ParseInt(at, 10, 64); err != nil || !ok || ms <= 0 {
			return nil, "", ErrBadPage
		}
		score, id = "-"+at, rest
	}
	answer, err := s.run(ctx, "past", user, score, id, page.Limit)
	if err != nil {
		return nil, "", err
	}
	next := text(answer, 0)
	if next != "" {
		next = strings.TrimPrefix(text(answer, 1), "-") + "." + next
	}
	return records(answer[2:]), next, nil
}

func (s *redisStore) Restart(ctx context.Context, id string, token []byte, now time.Time) error {
	args := []any{id, up(now)}
	if token != nil {
		args = append(args, token)
	}
	_, err := s.run(ctx, "restart", args...)
	return err
}

func (s *redisStore) Cancel(ctx context.Context, id string, now time.Time) error {
	_, err := s.run(ctx, "cancel", id, up(now))
	return err
}

// Displace is atomic for each event; of more than maxBatch that are scheduled
// for one key, some may be cancelled when it fails.
func (s *redisStore) Displace(ctx context.Context, room, typ, stateKey, by string, why json.RawMessage, now time.Time) (n int, err error) {
	for after := ""; ; {
		answer, err := s.run(ctx, "displace", room, typ, stateKey, by, []byte(why), up(now), after, maxBatch)
		if err != nil {
			return n, err
		}
		n += number(answer, 0)
		if after = text(answer, 1); after == "" {
			return n, nil
		}
	}
}

func (s *redisStore) Claim(ctx context.Context, now time.Time, lease time.Duration, n int) ([]Delayed, error) {
	answer, err := s.run(ctx, "claim", down(now), up(now.Add(lease)), min(n, maxBatch))
	return records(answer), err
}

func (s *redisStore) ClaimOne(ctx context.Context, id string, now time.Time, lease time.Duration) (*Delayed, error) {
	return one(s.run(ctx, "claim_one", id, down(now), up(now.Add(lease))))
}

func (s *redisStore) Release(ctx context.Context, id string, turn int, at time.Time, maybe bool) error {
	state := Scheduled
	if maybe {
		state = Sending
	}
	_, err := s.run(ctx, "release", id, turn, up(at), string(state))
	return err
}

func (s *redisStore) Finish(ctx context.Context, id string, out Outcome, now time.Time) error {
	_, err := s.run(ctx, "finish", id, string(out.State), out.EventID, []byte(out.Error), up(now))
	return err
}

func (s *redisStore) Next(ctx context.Context) (time.Time, error) {
	answer, err := s.run(ctx, "next")
	return instant(text(answer, 0)), err
}

func (s *redisStore) Beat(ctx context.Context, now time.Time) (last time.Time, err error) {
	at := ""
	if !now.IsZero() {
		at = strconv.FormatInt(down(now), 10)
	}
	answer, err := s.run(ctx, "beat", at)
	return instant(text(answer, 0)), err
}

// Grace takes many in batches, each of which is atomic.
func (s *redisStore) Grace(ctx context.Context, now time.Time, most time.Duration) (n int, err error) {
	answer, err := s.run(ctx, "early", up(now)+most.Milliseconds())
	if err != nil {
		return 0, err
	}
	ids, _ := answer[0].([]any)
	for batch := range slices.Chunk(ids, maxBatch) {
		answer, err := s.run(ctx, "grace", append([]any{up(now), most.Milliseconds()}, batch...)...)
		if err != nil {
			return n, err
		}
		n += number(answer, 0)
	}
	return n, nil
}

// Prune forgets many in batches, each of which is atomic.
func (s *redisStore) Prune(ctx context.Context, before time.Time, keep int) (n int, err error) {
	for {
		answer, err := s.run(ctx, "prune", down(before), keep, maxBatch)
		if err != nil {
			return n, err
		}
		done := number(answer, 0)
		if n += done; done < maxBatch {
			return n, nil
		}
	}
}
