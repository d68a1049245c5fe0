package ask

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted answers the questions on each connection, one text for each; "" closes
// the connection instead, "hang" says nothing.
type scripted struct {
	t       *testing.T
	mu      sync.Mutex
	scripts [][]string
	opened  int
	asked   []string
}

func (s *scripted) open(context.Context, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened == len(s.scripts) {
		return nil, errors.New("nobody is there")
	}
	script := s.scripts[s.opened]
	s.opened++
	ours, theirs := net.Pipe()
	go s.serve(theirs, script) // ends with the connection
	return ours, nil
}

func (s *scripted) serve(c net.Conn, script []string) {
	defer c.Close()
	r := bufio.NewReader(c)
	for _, answer := range script {
		if answer == "closed already" {
			return
		}
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, req.Method+" "+req.Host+req.URL.RequestURI())
		s.mu.Unlock()
		if answer == "hang" {
			_, _ = r.ReadByte()
			return
		}
		if answer == "" {
			return
		}
		if _, err := c.Write([]byte(answer)); err != nil {
			return
		}
	}
	_, _ = r.ReadByte() // until the other side closes
}

func get(host, path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// What is asked over which connection, by what servers answer.
func TestAsk(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxBody)
	for name, c := range map[string]struct {
		scripts [][]string
		want    []string // of each question in turn: the body, or "!"
		opened  int
		kept    int
	}{
		"kept":                       {[][]string{{ok("1"), ok("2"), ok("3")}}, []string{"1", "2", "3"}, 1, 1},
		"closed after the answer":    {[][]string{{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n1"}, {ok("2")}}, []string{"!", "2"}, 2, 1},
		"said to be closed":          {[][]string{{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1"}, {ok("2")}}, []string{"1", "2"}, 2, 1},
		"closed while idle":          {[][]string{{ok("1"), ""}, {ok("2")}}, []string{"1", "2"}, 2, 1},
		"closed while idle, unasked": {[][]string{{ok("1"), "closed already"}, {ok("2")}}, []string{"1", "2"}, 2, 1},
		"told to be too slow, idle":  {[][]string{{ok("1"), "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"}, {ok("2")}}, []string{"1", "2"}, 2, 1},
		"too slow for the first":     {[][]string{{"HTTP/1.1 408 Request Timeout\r\nContent-Length: 1\r\n\r\nx"}}, []string{"x"}, 1, 1},
		"closed before the first":    {[][]string{{""}, {ok("2")}}, []string{"!", "2"}, 2, 1},
		"closed in the answer":       {[][]string{{ok("1"), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"}, {ok("3")}}, []string{"1", "!", "3"}, 2, 1},
		"closed in the first line":   {[][]string{{ok("1"), "HTTP/1"}, {ok("3")}}, []string{"1", "!", "3"}, 2, 1},
		"more than was asked":        {[][]string{{ok("1") + ok("stray")}, {ok("2")}}, []string{"1", "2"}, 2, 1},
		"in pieces":                  {[][]string{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", ok("2")}}, []string{"abc", "2"}, 1, 1},
		"after early hints":          {[][]string{{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok("1")}}, []string{"1"}, 1, 1},
		"early hints for ever":       {[][]string{{strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20)}}, []string{"!"}, 1, 0},
		"HTTP/1.0":                   {[][]string{{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1"}, {ok("2")}}, []string{"1", "2"}, 2, 1},
		"no HTTP":                    {[][]string{{"SSH-2.0-OpenSSH\r\n\r\n"}}, []string{"!"}, 1, 0},
		"nothing to say":             {[][]string{{"HTTP/1.1 204 No Content\r\n\r\n", ok("2")}}, []string{"", "2"}, 1, 1},
		"two lengths":                {[][]string{{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"}}, []string{"!"}, 1, 0},
		"as much as may be":          {[][]string{{ok(long), ok("2")}}, []string{long, "2"}, 1, 1},
		"too much":                   {[][]string{{ok(long + "x")}}, []string{"!"}, 1, 0},
		"too much of a header":       {[][]string{{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 4*maxHeader) + "\r\n\r\n"}}, []string{"!"}, 1, 0},
		"nobody there":               {nil, []string{"!"}, 0, 0},
		"an error is an answer":      {[][]string{{"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", ok("2")}}, []string{"no", "2"}, 1, 1},
		"switched to something else": {[][]string{{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + ok("1")}}, []string{"1"}, 1, 1},
		"a length that is no number": {[][]string{{"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"}}, []string{"!"}, 1, 0},
		"length and pieces":          {[][]string{{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", ok("2")}}, []string{"a", "2"}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{t: t, scripts: c.scripts}
				g := New(s.open)
				for i, want := range c.want {
					a, err := g.Ask(t.Context(), "x:1", "hs.example", get("hs.example", fmt.Sprint("/", i)))
					if (err != nil) != (want == "!") || err == nil && string(a.Body) != want {
						t.Errorf("question %d: %v, %v; want %.20q", i, a, err, want)
					}
					synctest.Wait()
				}
				if s.opened != c.opened || g.Len() != c.kept {
					t.Errorf("%d connections, %d kept; want %d, %d", s.opened, g.Len(), c.opened, c.kept)
				}
				for _, q := range s.asked {
					if !strings.HasPrefix(q, "GET hs.example/") {
						t.Errorf("asked %q", q)
					}
				}
				g.Close()
				if g.Len() != 0 {
					t.Error("something is kept after close")
				}
			})
		})
	}
}

// A question ends with its context, at its own time at the latest, and its
// connection is not used again.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t, scripts: [][]string{{"hang"}, {"hang"}, {"hang"}, {ok("4")}}}
		g := New(s.open)
		defer g.Close()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Ask(ctx, "x", "x", get("x", "/")); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		if _, err := g.Ask(ctx, "x", "x", get("x", "/")); !errors.Is(err, context.Canceled) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := g.Ask(t.Context(), "x", "x", get("x", "/")); err == nil || time.Since(start) != 3*time.Second+Timeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if a, err := g.Ask(t.Context(), "x", "x", get("x", "/")); err != nil || string(a.Body) != "4" {
			t.Errorf("%v, %v", a, err)
		}
	})
}

// What is idle for long is closed, however many there are.
func TestReaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t}
		for range IdlePerPlace + 10 {
			s.scripts = append(s.scripts, []string{ok("1")})
		}
		g := New(s.open)
		defer g.Close()
		var wg sync.WaitGroup
		for range IdlePerPlace + 10 {
			wg.Go(func() {
				if _, err := g.Ask(t.Context(), "x", "x", get("x", "/")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if g.Len() > IdlePerPlace {
			t.Errorf("%d kept", g.Len())
		}
		time.Sleep(3 * IdleTime)
		synctest.Wait()
		if g.Len() != 0 || len(g.idle) != 0 || g.reaper != nil {
			t.Errorf("%d still kept", g.Len())
		}
	})
}
