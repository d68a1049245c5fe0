package auth

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/childtest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// served is an http.Server as a site has it, for a service.
func served(s http.Handler) *http.Server {
	return &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: quietLog()}
}

// listening serves a service until the test ends.
func listening(t *testing.T, s http.Handler) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := served(s)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return l.Addr().String()
}

// Requests as bytes, one after the other over one connection: how many answers come
// and with which status. What is smuggled into a request is never another one.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	s := serviceOf(t, nil)
	addr := listening(t, s)
	body := sfuGetBody("tok-ann", "one.example", "")
	post := func(path, headers, body string) string {
		return "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body
	}
	length := func(b string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(b)) }
	health := "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	chunked := func(b string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(b), b) }
	for name, c := range map[string]struct {
		send string
		want []int // then the connection is closed, or waits
	}{
		"one":                            {post("/sfu/get", length(body), body), []int{200}},
		"two":                            {post("/sfu/get", length(body), body) + health, []int{200, 200}},
		"in pieces":                      {post("/sfu/get", "Transfer-Encoding: chunked\r\n", chunked(body)) + health, []int{200, 200}},
		"length and pieces, piece first": {post("/sfu/get", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunked(body)), []int{200}},
		"length and pieces":              {post("/sfu/get", length(body)+"Transfer-Encoding: chunked\r\n", body), []int{400}},
		"two lengths":                    {post("/sfu/get", length(body)+"Content-Length: 4\r\n", body), []int{400}},
		"two lengths in one":             {post("/sfu/get", "Content-Length: 4, 5\r\n", body), []int{400}},
		"a length with a sign":           {post("/sfu/get", "Content-Length: +4\r\n", body), []int{400}},
		"a negative length":              {post("/sfu/get", "Content-Length: -4\r\n", body), []int{400}},
		"a length that is a name":        {post("/sfu/get", "Content-Length: x\r\n", body), []int{400}},
		"pieces of another kind":         {post("/sfu/get", "Transfer-Encoding: xchunked\r\n", chunked(body)), []int{501}},
		"pieces, packed":                 {post("/sfu/get", "Transfer-Encoding: gzip, chunked\r\n", chunked(body)), []int{501}},
		"pieces twice":                   {post("/sfu/get", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked(body)), []int{501}},
		"a blank before the colon":       {post("/sfu/get", "Content-Length : 5\r\n", body), []int{400}},
		"a header that is folded":        {post("/sfu/get", length(body)+"X-Forwarded-For: 1.2.3.4\r\n Transfer-Encoding: chunked\r\n", body), []int{200}},
		"a name with a line":             {post("/sfu/get", "X\rY: z\r\n"+length(body), body), []int{400}},
		"a zero in a header":             {post("/sfu/get", "X: a\x00b\r\n"+length(body), body), []int{400}},
		"two hosts":                      {post("/sfu/get", "Host: y\r\n"+length(body), body), []int{400}},
		"no host":                        {"POST /sfu/get HTTP/1.1\r\n" + length(body) + "\r\n" + body, []int{400}},
		"absolute":                       {post("http://evil.example/sfu/get", length(body), body), []int{200}},
		"absolute, of another":           {post("http://evil.example/sfu/get/..", length(body), body), []int{404}},
		"encoded slash":                  {post("/sfu%2Fget", length(body), body), []int{404}},
		"encoded letter":                 {post("/%73fu/get", length(body), body), []int{404}},
		"encoded webhook":                {post("/sfu%5Fwebhook", length("{}"), "{}"), []int{404}},
		"encoded dots":                   {post("/x/%2e%2e/sfu/get", length(body), body), []int{404}},
		"dots":                           {post("/x/../sfu/get", length(body), body), []int{404}},
		"two slashes":                    {post("//sfu/get", length(body), body), []int{404}},
		"a slash at the end":             {post("/sfu/get/", length(body), body), []int{404}},
		"a query":                        {post("/sfu/get?x=/get_token", length(body), body), []int{200}},
		"a semicolon":                    {post("/sfu/get;x", length(body), body), []int{404}},
		"a zero in the path":             {post("/sfu/get%00", length(body), body), []int{404}},
		"not a path":                     {post("sfu/get", length(body), body), []int{400}},
		"a broken escape":                {post("/sfu/get%zz", length(body), body), []int{400}},
		"a very long path":               {post("/"+strings.Repeat("x", 100<<10), length(body), body), []int{431}},
		"endless headers":                {post("/sfu/get", strings.Repeat("X-A: b\r\n", 20_000)+length(body), body), []int{431}},
		"a very long header":             {post("/sfu/get", "X: "+strings.Repeat("x", 100<<10)+"\r\n"+length(body), body), []int{431}},
		"another protocol":               {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{404}},
		"TLS":                            {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		"a piece that is too large":      {post("/sfu/get", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nx"), []int{400}},
		"pieces without end":             {post("/sfu/get", "Transfer-Encoding: chunked\r\n", strings.Repeat("8\r\n        \r\n", 10_000)), []int{413}},
		"more than was said, a request":  {post("/sfu/get", "Content-Length: 0\r\n", "") + health, []int{400, 200}},
		"star":                           {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
			go io.WriteString(conn, c.send) // ends with the connection
			var got []int
			r := bufio.NewReader(conn)
			for {
				if len(got) == len(c.want) { // and nothing more
					_ = conn.(*net.TCPConn).CloseWrite()
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					break
				}
				text, _ := io.ReadAll(resp.Body)
				got = append(got, resp.StatusCode)
				if resp.StatusCode >= 500 && strings.Contains(string(text), "M_") {
					t.Errorf("%d %s", resp.StatusCode, text)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("answers %v, want %v", got, c.want)
			}
		})
	}
}

// Whoever sends a byte now and then has ten seconds for the headers and ten for the
// body; the memory of one body is all they hold.
func TestSlowloris(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, byte string
		ends         time.Duration
		status       int // 0: none
	}{
		"nothing":    {"", "", 10 * time.Second, 0},
		"headers":    {"POST /sfu/get HTTP/1.1\r\nHost: x\r\n", "X: y\r\n", 10 * time.Second, 0},
		"first line": {"", "P", 10 * time.Second, 400},
		"nowhere":    {"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", " ", 10 * time.Second, 404},
		"method":     {"PUT /sfu/get HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", " ", 10 * time.Second, 405},
		"health":     {"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", 10 * time.Second, 200},
		"body":       {"POST /sfu/get HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", " ", 10 * time.Second, 400},
		"chunks":     {"POST /get_token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", 10 * time.Second, 400},
		"webhook":    {"POST /sfu_webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n", " ", 10 * time.Second, 200},
		"a stranger's events": {"PUT /_matrix/app/v1/transactions/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 30000000\r\n\r\n",
			" ", 10 * time.Second, 403},
		"kept, and silent": {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "", 2 * time.Minute, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Config{
					Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: nowhere{}, FullAccess: []string{"one.example"}, Leaves: jobs.Memory(),
					AppService: &AppService{ServerName: "one.example", ASToken: asToken, HSToken: hsToken},
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				l, srv := newPipeListener(), served(s)
				var wg sync.WaitGroup
				wg.Go(func() { _ = srv.Serve(l) })
				conn := l.dial()
				start := time.Now()
				wg.Go(func() {
					if _, err := io.WriteString(conn, c.before); err != nil || c.byte == "" {
						return
					}
					for i := 0; ; i++ {
						time.Sleep(time.Second)
						if _, err := conn.Write([]byte{c.byte[i%len(c.byte)]}); err != nil {
							return
						}
					}
				})
				r := bufio.NewReader(conn)
				status := 0
				if resp, err := http.ReadResponse(r, nil); err == nil {
					status = resp.StatusCode
					_, _ = io.ReadAll(resp.Body)
				}
				_, _ = io.Copy(io.Discard, r)
				if took := time.Since(start); took > c.ends+time.Second || status != c.status {
					t.Errorf("status %d, ended after %v; want %d, %v", status, took, c.status, c.ends)
				}
				conn.Close()
				srv.Close()
				l.Close()
				wg.Wait()
			})
		})
	}
}

const idleEnv = "MATRIXRTC_TEST_IDLE"

// TestIdleConnectionsChild is the other side of TestTenThousandConnections: it opens
// connections, says when they are open, and how many of them were ended.
func TestIdleConnectionsChild(t *testing.T) {
	address, count, ok := strings.Cut(os.Getenv(idleEnv), " ")
	if !ok {
		return // nobody asks for it
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, n)
	for i := range conns {
		if conns[i], err = net.DialTimeout("tcp", address, 30*time.Second); err != nil {
			t.Fatal(err)
		}
		switch i % 3 { // a third says nothing at all
		case 1:
			_, _ = io.WriteString(conns[i], "POST /sfu/get HTTP/1.1\r\nHost: x\r\n")
		case 2:
			_, _ = io.WriteString(conns[i], "POST /sfu/get HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
		}
	}
	fmt.Println("open")
	var wg sync.WaitGroup
	var mu sync.Mutex
	ended := 0
	for _, c := range conns {
		wg.Go(func() {
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, os.ErrDeadlineExceeded) {
				mu.Lock()
				ended++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Println("ended", ended)
}

// Ten thousand TCP connections that send nothing, or not enough: others are answered,
// and what the ten thousand cost is given back.
func TestTenThousandConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("needs ten thousand connections: run without -short")
	}
	const n = 10_000
	if most := openFiles(t); most < n+2000 {
		t.Skipf("needs %d open files, and may have %d: ulimit -n 20000", n+2000, most)
	}
	s := newTestService(t, &rooms{}, &Options{Rate: Rate{PerSecond: -1}})
	addr := listening(t, s)
	child := childtest.Start(t, fmt.Sprintf("%s=%s %d", idleEnv, addr, n), os.Args[0], "-test.run", "^TestIdleConnectionsChild$")
	if child.Ready != "open" {
		t.Fatalf("%s %s", child.Ready, &child.Log)
	}
	client := &http.Client{Timeout: 30 * time.Second}
	for range 5 {
		resp, err := client.Post("http://"+addr+"/sfu/get", "application/json", strings.NewReader(sfuGetBody("tok-ann", "one.example", "")))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	client.CloseIdleConnections()
	if !child.Lines.Scan() || child.Lines.Text() != fmt.Sprint("ended ", n) {
		t.Errorf("of %d connections: %s", n, child.Lines.Text())
	}
	if _, err := child.End(); err != nil {
		t.Errorf("%v: %s", err, &child.Log)
	}
}
