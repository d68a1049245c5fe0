package ask

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What we read ourselves is what net/http reads.
func FuzzReadPlain(f *testing.F) {
	for _, s := range []string{
		ok("1"), ok("1") + "stray", ok("") + ok("2"), "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 401 No\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json; charset=utf-8\r\ncontent-length:2 \r\n\r\nno",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n1",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: a\r\n b\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n1",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\nX: y\r\n\r\n1", "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length: 1\n\n1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n", "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\n1",
		"HTTP/1.1 304 No\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 099 No\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1  200\r\nContent-Length: 1\r\n\r\n1",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nX: \x80\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX:\x00\r\n\r\n1",
		"HTTP/1.1 200 OK\r\nContent-Length: 00000000000000001\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n1", "HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\n1",
		"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Type: b\r\nContent-Length: 1\r\n\r\n1", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 1\r\n\r\n1",
		"HTTP/1.1 200 OK\r\nContent-Type:\r\nContent-Type: b\r\nContent-Length: 1\r\n\r\n1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours := bufio.NewReaderSize(bytes.NewReader(data), readSize)
		_, _ = ours.Peek(1)
		a, ok, err := readPlain(ours)
		if !ok {
			rest, _ := io.ReadAll(ours)
			if !bytes.Equal(rest, data) {
				t.Fatalf("%q was read of an answer that is not for us", data[:len(data)-len(rest)])
			}
			return
		}
		theirs := bufio.NewReader(bytes.NewReader(data))
		resp, e := http.ReadResponse(theirs, nil)
		if e != nil {
			t.Fatalf("we read %v, %v; net/http says %v", a, err, e)
		}
		body, e := io.ReadAll(resp.Body)
		if err != nil {
			if e == nil && len(body) <= MaxBody {
				t.Fatalf("we say %v, net/http reads it", err)
			}
			return
		}
		if e != nil || resp.Close || resp.StatusCode != a.Status || !bytes.Equal(body, a.Body) || resp.Header.Get("Content-Type") != a.Type {
			t.Fatalf("we read %d %q %q; net/http %d %q %q, close %v, %v", a.Status, a.Type, a.Body, resp.StatusCode, resp.Header.Get("Content-Type"), body, resp.Close, e)
		}
		left, _ := io.ReadAll(ours)
		leftToo, _ := io.ReadAll(theirs)
		if !bytes.Equal(left, leftToo) {
			t.Fatalf("we leave %q, net/http %q", left, leftToo)
		}
	})
}

// The usual answers are read without net/http.
func TestUsualIsPlain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"a homeserver":        {"HTTP/1.1 200 OK\r\nServer: Synapse/1.140\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", true},
		"a refusal":           {"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", true},
		"kept alive":          {"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}", true},
		"in pieces":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", false},
		"a long head":         {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", readSize) + "\r\nContent-Length: 2\r\n\r\n{}", false},
		"the last of its own": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", false},
	} {
		r := bufio.NewReaderSize(strings.NewReader(c.text), readSize)
		_, _ = r.Peek(1)
		if a, ok, err := readPlain(r); ok != c.want || err != nil || ok && string(a.Body) != "{}" {
			t.Errorf("%s: %v, %v, %v", name, a, ok, err)
		}
		if _, _, err := readAnswer(bufio.NewReader(strings.NewReader(c.text))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The usual answer, and one that is left to net/http.
func BenchmarkReadAnswer(b *testing.B) {
	const text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Length: 34\r\n\r\n" + `{"sub":"@ann:one.example.invalid"}`
	b.Run("usual", func(b *testing.B) { benchmarkRead(b, text) })
	b.Run("other", func(b *testing.B) { benchmarkRead(b, strings.Replace(text, "Date", "Trailer: X\r\nDate", 1)) })
}

func benchmarkRead(b *testing.B, text string) {
	src := strings.NewReader(text)
	r := bufio.NewReaderSize(src, readSize)
	b.ReportAllocs()
	for b.Loop() {
		src.Reset(text)
		r.Reset(src)
		_, _ = r.Peek(1)
		if _, _, err := readAnswer(r); err != nil {
			b.Fatal(err)
		}
	}
}
