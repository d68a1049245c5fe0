package authbox

import (
	"fmt"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
)

// startRedis starts one, and returns the variables that lead to it.
func startRedis(t testing.TB, password string) (*devstack.Redis, env) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := devstacktest.Redis(t, &devstack.RedisOptions{AppendOnly: true, Port: port, Password: password})
	e := env{"LIVEKIT_REDIS_URL": r.URL()}
	if password != "" {
		e = env{"LIVEKIT_REDIS_URL": fmt.Sprintf("redis://127.0.0.1:%d", port), "LIVEKIT_REDIS_PASSWORD": password}
	}
	return r, e
}

// TestKilled: what was handed over is in good hands though the service is killed.
func TestKilled(t *testing.T) {
	t.Parallel()
	_, redis := startRedis(t, "")
	s := newScene(t, redis)
	delay := shortly
	stays, leaves := s.connected(t, delay), s.connected(t, delay)
	waits, comes := s.hand(t, "/sfu/get", s.sfuGet(), s.hs.later(delay)), s.hand(t, "/sfu/get", s.sfuGet(), s.hs.later(delay))
	s.kill()
	s.sfu.leave(leaves.seat)
	s.sfu.enter(comes.seat)
	s.service = s.again()
	s.sfu.joined(s.service, waits.seat)
	compare(t, "a leave after kill -9, and its participant comes afterwards", "restarted", waits.fateAfter(t, 0))
	compare(t, "a leave after kill -9, and its participant has come meanwhile", "restarted", comes.fateAfter(t, 0))
	compare(t, "a leave after kill -9, and its participant stays", "restarted", stays.fateAfter(t, 1))
	compare(t, "a leave after kill -9, and its participant has left meanwhile", "sent", leaves.fateAfter(t, 1))
	s.sfu.left(s.service, stays.seat, "CLIENT_INITIATED")
	stays.sent(t)
}

// TestEndsAndGoesOn: the same for an end that was asked for.
func TestEndsAndGoesOn(t *testing.T) {
	t.Parallel()
	password := "a password"
	if suite.foreign {
		password = "" // lk-jwt-service takes one in the URL alone
	}
	_, redis := startRedis(t, password)
	s := newScene(t, redis)
	h := s.connected(t, shortly)
	s.stop()
	s.ended(patience)
	if n := h.leave.count("send"); n > 0 {
		t.Errorf("the end of the service has sent the leave: %s", h.leave.told())
	}
	s.service = s.again()
	compare(t, "a leave after an end that was asked for", "restarted", h.fate(t))
	s.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
	h.sent(t)
}

// TestReplicas: two services over one Redis do what one would do, once, whichever
// of them hears of it.
func TestReplicas(t *testing.T) {
	t.Parallel()
	_, redis := startRedis(t, "")
	one := newScene(t, redis)
	other := *one
	other.service = start(t, one.env)
	h := one.hand(t, "/get_token", one.getToken(), one.hs.later(shortly))
	one.sfu.joined(other.service, h.seat) // the other one is told
	compare(t, "a leave at one replica, and another is told of the participant", "restarted", h.fate(t))
	h.leave.await(t, "restart", 2)
	pace(t, h.leave)
	gone := webhook("participant_left", h.seat, "CLIENT_INITIATED")
	one.sfu.leave(h.seat)
	one.do(gone)
	other.do(gone)
	h.sent(t)

	// One is killed in the middle of a restart, with the answer on the way to it.
	h = one.hand(t, "/sfu/get", one.sfuGet(), one.hs.later(shortly))
	one.sfu.joined(one.service, h.seat)
	h.leave.await(t, "restart", 1)
	one.kill()
	fate := h.fate(t)
	compare(t, "a leave whose replica was killed", "restarted", fate)
	if fate != "restarted" {
		return
	}
	other.sfu.left(other.service, h.seat, "CLIENT_INITIATED")
	h.sent(t)
}

// TestRedisAway: with Redis away for a moment nothing is lost, and what cannot be
// remembered is not promised.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	redis, e := startRedis(t, "")
	s := newScene(t, e)
	h := s.connected(t, shortly)
	redis.Kill()
	compare(t, "a leave handed over while Redis is away", "503 M_UNKNOWN", s.do(post("/delegate_delayed_leave", s.delegate())).said())
	compare(t, "a token while Redis is away", "200", s.do(post("/sfu/get", s.sfuGet())).said())
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	compare(t, "a leave after Redis was away", "restarted", h.fate(t))
	s.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
	h.sent(t)
}
