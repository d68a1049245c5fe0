package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery: of so many tokens the signature of one is checked.
const checkEvery = 100

// load is requests over a number of connections, each of which asks again as soon as
// it has its answer.
type load struct {
	url, endpoint, homeserver string
	conns, rooms, users       int
	most                      int64 // requests; 0: until the time is over
}

// result is what came of it.
type result struct {
	took time.Duration   // all of it
	each []time.Duration // sorted
}

// quantile of the times.
func (r result) quantile(q float64) time.Duration {
	return r.each[min(len(r.each)-1, int(q*float64(len(r.each))))]
}

// serial numbers the requests of all loads, so that what is to be new is new.
var serial atomic.Int64

// body is the request with a number.
func (l *load) body(i int64) string {
	user, room := i, i
	if l.users > 0 {
		user = i % int64(l.users)
	}
	if l.rooms > 0 {
		room = i % int64(l.rooms)
	}
	token := fmt.Sprintf(`"openid_token":{"access_token":"tok-u%d","token_type":"Bearer","matrix_server_name":%q,"expires_in":3600}`, user, l.homeserver)
	if l.endpoint == "sfu/get" {
		return fmt.Sprintf(`{"room":"!r%d:%s",%s,"device_id":"DEV%d"}`, room, l.homeserver, token, user)
	}
	return fmt.Sprintf(`{"room_id":"!r%d:%s","slot_id":"m.call#ROOM",%s,"member":{"id":"m%d","claimed_user_id":"@u%d:%s","claimed_device_id":"DEV%d"}}`,
		room, l.homeserver, token, user, user, l.homeserver, user)
}

// run asks for some time. The first request that fails ends it.
func (l *load) run(ctx context.Context, d time.Duration) (result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d, errOver)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	transport := &http.Transport{MaxIdleConnsPerHost: l.conns}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	times := make([][]time.Duration, l.conns)
	var count atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for k := range l.conns {
		wg.Go(func() {
			for ctx.Err() == nil && (l.most == 0 || count.Add(1) <= l.most) {
				i := serial.Add(1)
				body := l.body(i)
				asked := time.Now()
				// What is under way at the end is waited for.
				err := ask(context.WithoutCancel(ctx), client, l.url+"/"+l.endpoint, body, i%checkEvery == 0)
				if err != nil {
					fail(err)
					return
				}
				times[k] = append(times[k], time.Since(asked))
			}
		})
	}
	wg.Wait()
	r := result{time.Since(start), slices.Sorted(slices.Values(slices.Concat(times...)))}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errOver) {
		return r, err
	}
	if len(r.each) == 0 {
		return r, errors.New("nothing was answered")
	}
	return r, nil
}

// errOver: the time is over.
var errOver = errors.New("the time is over")

func ask(ctx context.Context, client *http.Client, url, body string, check bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %.200s", resp.StatusCode, text)
	}
	if check {
		return checkToken(text)
	}
	return nil
}

// checkToken checks the signature in an answer.
func checkToken(text []byte) error {
	var a struct {
		JWT string `json:"jwt"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return err
	}
	dot := max(strings.LastIndexByte(a.JWT, '.'), 0)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(a.JWT[:dot]))
	if dot == 0 || a.JWT[dot+1:] != base64.RawURLEncoding.EncodeToString(mac.Sum(nil)) {
		return fmt.Errorf("no token: %.200s", text)
	}
	return nil
}
