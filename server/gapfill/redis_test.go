package gapfill_test

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill/storetest"
)

// startRedis starts a Redis that loses nothing, and ends with the test.
func startRedis(t *testing.T) *devstack.Redis {
	t.Helper()
	return devstacktest.Redis(t, &devstack.RedisOptions{AppendOnly: true})
}

func openRedis(t *testing.T, url string, opts *gapfill.RedisOptions) gapfill.Store {
	t.Helper()
	s, err := gapfill.OpenRedis(t.Context(), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRedisStore(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	storetest.Run(t, storetest.Options{Shared: true, New: func(t *testing.T) storetest.Open {
		prefix := t.Name() + ":"
		return func(t *testing.T) gapfill.Store {
			return openRedis(t, r.URL(), &gapfill.RedisOptions{Prefix: prefix})
		}
	}})
}

// An empty token takes the place of one: what was kept is dropped.
func TestRedisDropsToken(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s := openRedis(t, r.URL(), nil)
	defer s.Close()
	if _, err := s.Put(t.Context(), delayedEvent("a"), manyEvents); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		token []byte
		want  string
	}{{nil, "sealed"}, {[]byte("new"), "new"}, {nil, "new"}, {[]byte{}, ""}, {nil, ""}} {
		if err := s.Restart(t.Context(), "a", c.token, redisStart); err != nil {
			t.Fatal(err)
		}
		if d, err := s.Get(t.Context(), "a"); err != nil || string(d.Token) != c.want {
			t.Errorf("%v: token %q, want %q, %v", c.token, d.Token, c.want, err)
		}
	}
}
