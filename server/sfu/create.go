package sfu

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/twitchtv/twirp"

	"github.com/matrixrtc-go/matrixrtc/internal/ask"
)

const (
	createPath = "/twirp/livekit.RoomService/CreateRoom"
	// createToken is how long a token that makes rooms is good. One is used for
	// half that time: it names no room.
	createToken   = time.Minute
	createOpening = 8 * time.Second
)

// creator makes rooms over connections that it keeps, since every request for a
// token waits for that. The rest of the room service goes by LiveKit's own client,
// which costs three times as much.
type creator struct {
	key, secret string
	host, path  string
	conns       *ask.Pool[struct{}]

	mu   sync.Mutex
	head []byte    // of a request, with a token; its Content-Length follows
	anew time.Time // when there has to be another token
}

// newCreator makes a creator that connects as client would, nil where that takes
// more than a connection: a proxy, or a transport of somebody else's.
func newCreator(rawURL, key, secret string, client *http.Client) *creator {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Host, hostChars) != "" {
		return nil
	}
	t, ok := client.Transport.(*http.Transport)
	if !ok || t.DialContext != nil || t.DialTLSContext != nil {
		return nil
	}
	if t.Proxy != nil {
		if proxy, err := t.Proxy(&http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}}); err != nil || proxy != nil {
			return nil
		}
	}
	return &creator{
		key: key, secret: secret, host: u.Host, path: strings.TrimSuffix(u.EscapedPath(), "/") + createPath,
		conns: ask.New(opener(u, t.TLSClientConfig)),
	}
}

// hostChars may be in the host of a URL that is used as it stands.
const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"

// opener opens connections to the host of a URL.
func opener(u *url.URL, conf *tls.Config) func(context.Context, struct{}) (net.Conn, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	address := net.JoinHostPort(u.Hostname(), port)
	dial := new(net.Dialer).DialContext
	if u.Scheme == "https" {
		if conf = conf.Clone(); conf == nil {
			conf = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if conf.ClientSessionCache == nil {
			conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		dial = (&tls.Dialer{Config: conf}).DialContext // which knows the server's name
	}
	return func(ctx context.Context, _ struct{}) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, createOpening)
		defer cancel()
		return dial(ctx, "tcp", address)
	}
}

// create makes a room, or keeps the one that has the name. The SFU may be asked
// twice, which is all the same to it.
func (c *creator) create(ctx context.Context, name string) error {
	head, err := c.begin(time.Now())
	if err != nil {
		return err
	}
	// livekit.CreateRoomRequest, in the order of its fields.
	body := make([]byte, 0, 128)
	body = binary.AppendUvarint(append(body, 1<<3|2), uint64(len(name)))
	body = append(body, name...)
	body = binary.AppendUvarint(append(body, 2<<3), uint64(EmptyTimeout/time.Second))
	body = binary.AppendUvarint(append(body, 10<<3), uint64(DepartureTimeout/time.Second))

	question := make([]byte, 0, len(head)+len("0000\r\n\r\n")+len(body))
	question = strconv.AppendInt(append(question, head...), int64(len(body)), 10)
	question = append(append(question, "\r\n\r\n"...), body...)
	a, err := c.conns.Ask(ctx, "", struct{}{}, question)
	switch {
	case err != nil:
		return err
	case a.Status != http.StatusOK:
		return twirpError(a)
	case !strings.HasPrefix(a.Type, "application/protobuf"):
		return fmt.Errorf("%s answers, and is no LiveKit", c.host)
	}
	return nil
}

// begin is the head of a request. It is not to be written to.
func (c *creator) begin(now time.Time) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.anew) {
		return c.head, nil
	}
	token, err := auth.NewAccessToken(c.key, c.secret).SetVideoGrant(&auth.VideoGrant{RoomCreate: true}).SetValidFor(createToken).ToJWT()
	if err != nil {
		return nil, fmt.Errorf("sign a request to the SFU: %w", err)
	}
	c.head = []byte("POST " + c.path + " HTTP/1.1\r\nHost: " + c.host +
		"\r\nUser-Agent: matrixrtc\r\nAccept: application/protobuf\r\nContent-Type: application/protobuf" +
		"\r\nAuthorization: Bearer " + token + "\r\nContent-Length: ")
	c.anew = now.Add(createToken / 2)
	return c.head, nil
}

// twirpError is what an answer other than 200 says.
func twirpError(a *ask.Answer) error {
	var e struct {
		Code twirp.ErrorCode `json:"code"`
		Msg  string          `json:"msg"`
	}
	if json.Unmarshal(a.Body, &e) != nil || !twirp.IsValidErrorCode(e.Code) {
		return fmt.Errorf("status %d%s", a.Status, hints[a.Status])
	}
	if strings.Contains(e.Msg, "eyJ") {
		e.Msg = "(a message that holds a token)" // LiveKit repeats what it does not take
	}
	return twirp.NewError(e.Code, e.Msg)
}

// hints say what to do about a status that is not of the room service: LiveKit's own
// for a token that it does not take, or one of whatever stands before it.
var hints = map[int]string{
	http.StatusUnauthorized: ": it does not take the key and secret that are configured here (sfu.key and sfu.secret, or LIVEKIT_KEY and LIVEKIT_SECRET), or its clock is another",
	http.StatusForbidden:    ": it, or a reverse proxy before it, lets nobody make rooms from here",
	http.StatusNotFound:     ": there is no LiveKit (sfu.url, or LIVEKIT_URL), or a reverse proxy before it does not pass /twirp/ on",
	http.StatusBadGateway:   ": the reverse proxy before it does not reach it",
}
