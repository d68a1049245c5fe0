package gapfill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

var redisStart = time.UnixMilli(1_800_000_000_123)

func delayedEvent(id string) *gapfill.Delayed {
	return &gapfill.Delayed{
		ID: id, User: "@alice:hs", Room: "!room:hs", Type: "m.type", Txn: "txn " + id,
		Content: json.RawMessage("{}"), Delay: time.Minute, Since: redisStart, Token: []byte("sealed"),
	}
}

var manyEvents = gapfill.Limits{PerUser: 1 << 20, Total: 1 << 20}

// Redis is killed again and again while a hundred events are scheduled, claimed
// and finished: what it has acknowledged it has, and nobody gets an event twice.
func TestRedisKilledInMidWork(t *testing.T) {
	t.Parallel()
	const events, kills = 100, 4
	r := startRedis(t)
	var put, claimed, finished sync.Map // by id; claimed holds turns
	var puts, finishes atomic.Int32
	ctx, stop := context.WithCancel(t.Context())
	defer stop()

	// Each of two replicas has a connection pool of its own.
	var work sync.WaitGroup
	defer work.Wait()
	for replica := range 2 {
		s := openRedis(t, r.URL(), nil)
		t.Cleanup(func() { s.Close() })
		work.Go(func() {
			for i := 0; i < events && ctx.Err() == nil; {
				id := fmt.Sprintf("%d-%02d", replica, i)
				if got, err := s.Put(ctx, delayedEvent(id), manyEvents); err == nil {
					if got != id {
						t.Errorf("put %s gave %s", id, got)
					}
					put.Store(id, true)
					puts.Add(1)
					i++
				}
			}
		})
		work.Go(func() {
			for ctx.Err() == nil && finishes.Load() < 2*events {
				// A lease that has not ended when it is looked at again: what was
				// claimed in an answer that got lost waits for the end of the test.
				list, err := s.Claim(ctx, redisStart.Add(time.Hour), time.Hour, 3)
				if err != nil {
					continue
				}
				for _, d := range list {
					if _, twice := claimed.LoadOrStore(d.ID, true); twice {
						t.Errorf("%s was claimed twice", d.ID)
					}
					for ctx.Err() == nil {
						err := s.Finish(ctx, d.ID, gapfill.Outcome{State: gapfill.Sent, EventID: "$" + d.ID}, redisStart)
						var done *gapfill.StateError
						if err == nil || errors.As(err, &done) && done.State == gapfill.Sent {
							finished.Store(d.ID, true)
							finishes.Add(1)
							break
						}
					}
				}
			}
		})
	}
	for i := range int32(kills) {
		rtctest.Eventually(t, time.Minute, "work goes on", func() (bool, string) {
			n := puts.Load()
			return n >= 2*events*(i+1)/(kills+2), fmt.Sprint(n, " were scheduled")
		})
		r.Kill()
		if err := r.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := openRedis(t, r.URL(), nil)
	defer s.Close()
	rtctest.Eventually(t, time.Minute, "all is scheduled, and what was due is claimed", func() (bool, string) {
		next, err := s.Next(t.Context())
		return puts.Load() == 2*events && (next.IsZero() || next.After(redisStart.Add(time.Hour))), fmt.Sprint(puts.Load(), " were scheduled; next ", next, err)
	})
	rtctest.Eventually(t, time.Minute, "what was claimed is finished", func() (bool, string) {
		n, m := 0, 0
		claimed.Range(func(any, any) bool { n++; return true })
		finished.Range(func(any, any) bool { m++; return true })
		return n == m, fmt.Sprintf("%d claimed, %d finished", n, m)
	})
	stop()
	work.Wait()
	lost := 0
	put.Range(func(id, _ any) bool {
		d, err := s.Get(t.Context(), id.(string))
		if err != nil {
			t.Fatalf("%s was acknowledged: %v", id, err)
		}
		_, done := finished.Load(id)
		switch {
		case done && d.State != gapfill.Sent:
			t.Errorf("%s was finished, and is %s", id, d.State)
		case !done && d.State != gapfill.Sending:
			t.Errorf("%s was not finished, and is %s", id, d.State)
		case !done:
			lost++ // the answer to its claim was lost; its lease ends
		}
		return true
	})
	if lost > 3*2*kills {
		t.Errorf("%d claims were lost in %d kills", lost, kills)
	}
	list, err := s.Claim(t.Context(), redisStart.Add(2*time.Hour), time.Hour, 1000)
	if err != nil || len(list) != lost {
		t.Errorf("%d of %d are taken over after their leases: %v", len(list), lost, err)
	}
	for _, d := range list {
		if !d.Doubt {
			t.Errorf("%s is taken over without doubt", d.ID)
		}
	}
}

// Over a line that fails a store says so in time; what was under way is whole
// afterwards.
func TestRedisPartition(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	for name, fault := range map[string]devstacktest.Fault{
		"nothing comes through": devstacktest.Held, "a black hole": devstacktest.Hole, "answers are lost": devstacktest.Deaf,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			partitioned(t, r, fault)
		})
	}
}

func partitioned(t *testing.T, r *devstack.Redis, fault devstacktest.Fault) {
	line := devstacktest.NewLine(t, r)
	s := openRedis(t, line.URL(), &gapfill.RedisOptions{Timeout: time.Second, Prefix: t.Name() + ":"})
	defer s.Close()
	if _, err := s.Put(t.Context(), delayedEvent("before"), manyEvents); err != nil {
		t.Fatal(err)
	}
	line.Set(fault)
	began := time.Now()
	_, err := s.Put(t.Context(), delayedEvent("during"), manyEvents)
	if !errors.Is(err, gapfill.ErrStore) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("while it fails: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, "before"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	line.Set(devstacktest.Whole)
	rtctest.Eventually(t, 30*time.Second, "it answers again", func() (bool, string) {
		_, err := s.Get(t.Context(), "before")
		return err == nil, fmt.Sprint(err)
	})
	// The client does not know, so it asks again by the same name.
	if id, err := s.Put(t.Context(), delayedEvent("during"), manyEvents); id != "during" || err != nil {
		t.Errorf("the same request again: %q, %v", id, err)
	}
	list, _, err := s.List(t.Context(), "@alice:hs", gapfill.Page{Limit: 10})
	if err != nil || len(list) != 2 {
		t.Errorf("%d are scheduled: %v", len(list), err)
	}
}

func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	const password = "correct horse"
	r := devstacktest.Redis(t, &devstack.RedisOptions{Password: password})
	u, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	bare := "unix://" + u.Path
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stranger.Close() })
	var talking sync.WaitGroup
	t.Cleanup(talking.Wait)
	t.Cleanup(func() { stranger.Close() })
	talking.Go(func() {
		for {
			c, err := stranger.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}
	})
	for address, want := range map[string]string{
		"":                                    "want redis://",
		"localhost:6379":                      "want redis://",
		"http://:secret@localhost":            "want redis://",
		"redis://:secret@localhost:x/":        "want redis://",
		"redis://:secret@127.0.0.1/a":         "want redis://",
		bare:                                  "it wants a password",
		"unix://:secret@" + u.Path:            "the password is wrong",
		"unix://:secret@" + u.Path + "x":      "does not answer",
		"redis://:secret@127.0.0.1:1":         "Redis at 127.0.0.1:1 does not answer",
		"redis://" + stranger.Addr().String(): "",
	} {
		s, err := gapfill.OpenRedis(t.Context(), address, &gapfill.RedisOptions{Timeout: 2 * time.Second})
		if err == nil {
			s.Close()
			t.Errorf("%s was opened", address)
			continue
		}
		if !errors.Is(err, gapfill.ErrStore) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
	s := openRedis(t, bare, &gapfill.RedisOptions{Password: password})
	if _, err := s.Get(t.Context(), "x"); !errors.Is(err, gapfill.ErrNotFound) {
		t.Errorf("with the password: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(cancelled, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.Close()
	if _, err := s.Get(t.Context(), "x"); !errors.Is(err, gapfill.ErrStore) {
		t.Errorf("closed: %v", err)
	}
}

// What Redis loses behind our back (a key that was dropped) hinders nobody.
func TestRedisLostKey(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s := openRedis(t, r.URL(), &gapfill.RedisOptions{Prefix: "p:"})
	defer s.Close()
	for _, id := range []string{"a", "b", "c"} {
		if _, err := s.Put(t.Context(), delayedEvent(id), manyEvents); err != nil {
			t.Fatal(err)
		}
	}
	dropKey(t, r, "p:event:a")
	if list, _, err := s.List(t.Context(), "@alice:hs", gapfill.Page{Limit: 2}); err != nil || len(list) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	list, err := s.Claim(t.Context(), redisStart.Add(time.Hour), time.Minute, 10)
	if err != nil || len(list) != 2 {
		t.Errorf("claimed %v, %v", list, err)
	}
	if id, err := s.Put(t.Context(), delayedEvent("a"), manyEvents); id != "a" || err != nil {
		t.Errorf("asked for again: %q, %v", id, err)
	}
	if err := s.Cancel(t.Context(), "a", redisStart); err != nil {
		t.Error(err)
	}
	dropKey(t, r, "p:event:a")
	if n, err := s.Prune(t.Context(), redisStart.Add(time.Hour), 10); n != 1 || err != nil {
		t.Errorf("pruned %d, %v", n, err)
	}
}

func dropKey(t *testing.T, r *devstack.Redis, key string) {
	t.Helper()
	u, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", u.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer := make([]byte, 4)
	fmt.Fprintf(c, "DEL %s\r\n", key)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != ":1\r\n" {
		t.Fatalf("DEL %s: %q, %v", key, answer, err)
	}
}
