package ask

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
)

// Answer is what a server has answered.
type Answer struct {
	Status int
	Type   string // the Content-Type, as it was sent
	Body   []byte
}

var (
	// errTooLarge: an answer is larger than MaxBody.
	errTooLarge = errors.New("the answer is too large")
	// errInterim: a server says more and more before its answer.
	errInterim = errors.New("no answer after all that was said before it")
)

// readAnswer reads an answer. again says that another one can follow on the
// connection.
func readAnswer(r *bufio.Reader) (a *Answer, again bool, err error) {
	if a, ok, err := readPlain(r); ok {
		return a, err == nil, err
	}
	var resp *http.Response
	for range maxInterim {
		if resp, err = http.ReadResponse(r, nil); err != nil {
			return nil, false, err
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	if resp.StatusCode < 200 {
		return nil, false, errInterim
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	switch {
	case err != nil:
		return nil, false, err
	case len(body) > MaxBody:
		return nil, false, errTooLarge
	}
	return &Answer{resp.StatusCode, resp.Header.Get("Content-Type"), body}, !resp.Close && resp.ProtoAtLeast(1, 1), nil
}

// readPlain reads an answer of the usual shape: HTTP/1.1, a length, and a connection
// that goes on. ok is false where it is of another shape; then nothing has been read,
// and net/http sees to it, which takes four times as long. A fuzz test holds it to
// what net/http reads.
func readPlain(r *bufio.Reader) (a *Answer, ok bool, err error) {
	head, _ := r.Peek(r.Buffered())
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, false, nil
	}
	line, fields, _ := bytes.Cut(head[:end+2], []byte("\r\n"))
	status, ok := readStatus(line)
	if !ok {
		return nil, false, nil
	}
	a = &Answer{Status: status}
	length, typed := -1, false
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, found := bytes.Cut(field, []byte(":"))
		value = bytes.Trim(value, " \t")
		if !found || !plainName(name) || !plainValue(value) {
			return nil, false, nil
		}
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length >= 0 {
				return nil, false, nil
			}
			if length, ok = readLength(value); !ok {
				return nil, false, nil
			}
		case bytes.EqualFold(name, []byte("Content-Type")):
			if !typed {
				a.Type, typed = typeName(value), true
			}
		case bytes.EqualFold(name, []byte("Connection")):
			if !bytes.EqualFold(value, []byte("keep-alive")) {
				return nil, false, nil
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")), bytes.EqualFold(name, []byte("Trailer")), bytes.EqualFold(name, []byte("Upgrade")):
			return nil, false, nil
		}
	}
	if length < 0 {
		return nil, false, nil
	}
	if length > MaxBody {
		return nil, true, errTooLarge
	}
	_, _ = r.Discard(end + 4) // it is in the buffer
	a.Body = make([]byte, length)
	_, err = io.ReadFull(r, a.Body)
	return a, true, err
}

// readStatus reads a status line, unless the status says something of the body.
func readStatus(line []byte) (status int, ok bool) {
	const version = "HTTP/1.1 "
	rest, ok := bytes.CutPrefix(line, []byte(version))
	if !ok || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' || !plainValue(rest) {
		return 0, false
	}
	for _, c := range rest[:3] {
		if c < '0' || c > '9' {
			return 0, false
		}
		status = 10*status + int(c-'0')
	}
	return status, status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// readLength reads a Content-Length; one that is far too large is too large.
func readLength(value []byte) (n int, ok bool) {
	if len(value) == 0 || len(value) > 9 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

func plainName(name []byte) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return len(name) > 0
}

func plainValue(value []byte) bool {
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func typeName(value []byte) string {
	switch string(value) {
	case "application/json":
		return "application/json"
	case "application/protobuf":
		return "application/protobuf"
	}
	return string(value)
}
