package authbox

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestEnd: asked to end, the service finishes what it has begun, takes nothing new,
// and ends well.
func TestEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	begun, answer := make(chan struct{}), make(chan struct{})
	token := s.hs.mint(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		select {
		case <-answer:
		case <-r.Context().Done():
		}
		say(w, 200, object{"sub": s.hs.user("alice")})
	})
	result := make(chan string, 1)
	go func() { // ended by the answer
		r, err := send(t.Context(), http.DefaultClient, s.url, post("/sfu/get", edited(s.sfuGet(), set("openid_token", token))))
		if err != nil {
			result <- "cut off"
			return
		}
		result <- r.said()
	}()
	<-begun
	s.stop()
	rtctest.Eventually(t, patience, "nobody new is let in", func() (bool, string) {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(s.url, "http://"), time.Second)
		if err != nil {
			return true, ""
		}
		c.Close()
		return false, "a connection is taken"
	})
	close(answer)
	compare(t, "a request under way when the service is asked to end", "200", <-result)
	compare(t, "the end on SIGTERM", "exit status 0", s.ended(patience))
}

// TestIdleEnd: with nothing to finish the end is quick, whatever is connected.
func TestIdleEnd(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.connected(t, time.Hour)
	idle, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	s.stop()
	begin := time.Now()
	compare(t, "the end on SIGTERM", "exit status 0", s.ended(patience))
	if took := time.Since(begin); took >= 5*time.Second && !suite.foreign { // then what is left is cut off
		t.Errorf("it took %v", took)
	}
	log := s.log.String()
	for _, secret := range []string{sfuSecret, "eyJ"} {
		if strings.Contains(log, secret) && !suite.foreign {
			t.Errorf("the log tells a secret:\n%s", log)
		}
	}
}

// TestBadConfiguration: what is wrong is told at once, with the variable's name,
// and the service does not start.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	good := basic("ws://127.0.0.1:1", "one.example").with(env{"LIVEKIT_JWT_BIND": "127.0.0.1:0"})
	for _, c := range []struct {
		name string
		env  env
		says []string // each of them, whatever else
	}{
		{"no URL", env{"LIVEKIT_URL": ""}, []string{"LIVEKIT_URL"}},
		{"no key", env{"LIVEKIT_KEY": ""}, []string{"LIVEKIT_KEY"}},
		{"no secret", env{"LIVEKIT_SECRET": ""}, []string{"LIVEKIT_SECRET"}},
		{"no full-access homeservers", env{"LIVEKIT_FULL_ACCESS_HOMESERVERS": ""}, []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS"}},
		{"* and others", env{"LIVEKIT_FULL_ACCESS_HOMESERVERS": "*,one.example"}, []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS"}},
		{"a homeserver with a scheme", env{"LIVEKIT_FULL_ACCESS_HOMESERVERS": "https://one.example"}, []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS"}},
		{"a key twice", env{"LIVEKIT_KEY_FROM_FILE": file(t, sfuKey)}, nil},
		{"a key file that is not there", env{"LIVEKIT_KEY": "", "LIVEKIT_KEY_FROM_FILE": "/does/not/exist"}, []string{"/does/not/exist"}},
		{"a file with both, and a secret", env{"LIVEKIT_KEY_FILE": file(t, sfuKey+": "+sfuSecret)}, nil},
		{"a file with both that has one", env{"LIVEKIT_KEY": "", "LIVEKIT_SECRET": "", "LIVEKIT_KEY_FILE": file(t, sfuKey)}, nil},
		{"port and bind", env{"LIVEKIT_JWT_PORT": "0"}, []string{"LIVEKIT_JWT_PORT", "LIVEKIT_JWT_BIND"}},
		{"a bind that is none", env{"LIVEKIT_JWT_BIND": "nowhere"}, nil},
		{"a log level that is none", env{"LIVEKIT_LOG_LEVEL": "loud"}, []string{"LIVEKIT_LOG_LEVEL"}},
		{"an interval that is none", env{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS": "often"}, []string{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS"}},
		{"a negative interval", env{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS": "-1"}, []string{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS"}},
		{"an override that is none", env{"LIVEKIT_CS_API_URL_OVERRIDES": "one.example"}, []string{"LIVEKIT_CS_API_URL_OVERRIDES"}},
		{"a skip of TLS that is half-hearted", env{"LIVEKIT_INSECURE_SKIP_VERIFY_TLS": "true"}, []string{"LIVEKIT_INSECURE_SKIP_VERIFY_TLS"}},
		{"a Redis that is none", env{"LIVEKIT_REDIS_URL": "http://localhost"}, []string{"LIVEKIT_REDIS_URL"}},
		{"a URL of no SFU", env{"LIVEKIT_URL": "livekit.example.org"}, []string{"LIVEKIT_URL"}},
		{"several at once", env{"LIVEKIT_SECRET": "", "LIVEKIT_LOG_LEVEL": "loud", "LIVEKIT_FULL_ACCESS_HOMESERVERS": ""},
			[]string{"LIVEKIT_SECRET", "LIVEKIT_LOG_LEVEL", "LIVEKIT_FULL_ACCESS_HOMESERVERS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := good.with(c.env)
			// Another service does not know the port 0, and one that starts must
			// not be in anybody's way.
			if e["LIVEKIT_JWT_BIND"] == good["LIVEKIT_JWT_BIND"] {
				e["LIVEKIT_JWT_BIND"] = freeAddr(t)
			}
			s := launch(t, e)
			defer s.kill()
			compare(t, "started with "+c.name, "refused, and says why", s.refusal(c.says))
			if strings.Contains(s.log.String(), sfuSecret) {
				t.Errorf("the secret is told: %s", &s.log)
			}
		})
	}
}

// refusal says how a service with a bad configuration ends.
func (s *service) refusal(says []string) string {
	limit := patience
	if suite.foreign {
		limit = 3 * time.Second
	}
	select {
	case <-s.done:
	case <-time.After(limit):
		return "starts"
	}
	if s.cmd.ProcessState.Success() {
		return "ends as if all were well"
	}
	for _, word := range says {
		if !strings.Contains(s.log.String(), word) {
			if !suite.foreign {
				s.t.Errorf("%q is not named:\n%s", word, &s.log)
			}
			return "refused, and does not say why"
		}
	}
	return "refused, and says why"
}

// TestVariables: every way to give the service what it needs.
func TestVariables(t *testing.T) {
	t.Parallel()
	none := env{"LIVEKIT_KEY": "", "LIVEKIT_SECRET": ""}
	for _, c := range []struct {
		name string
		env  env
	}{
		{"key and secret in files", env{"LIVEKIT_KEY": "", "LIVEKIT_SECRET": "", "LIVEKIT_KEY_FROM_FILE": file(t, sfuKey+"\n"), "LIVEKIT_SECRET_FROM_FILE": file(t, " "+sfuSecret+"\n")}},
		{"the secret in a file", env{"LIVEKIT_SECRET": "", "LIVEKIT_SECRET_FROM_FILE": file(t, sfuSecret)}},
		{"both in one file", none.with(env{"LIVEKIT_KEY_FILE": file(t, sfuKey+": "+sfuSecret+"\n")})},
		{"spaces between homeservers", env{"LIVEKIT_FULL_ACCESS_HOMESERVERS": "other.example HOST"}},
		{"commas between homeservers", env{"LIVEKIT_FULL_ACCESS_HOMESERVERS": "other.example, HOST,third.example"}},
		{"every homeserver", env{"LIVEKIT_FULL_ACCESS_HOMESERVERS": "*", "MATRIXRTC_CONFIG": file(t, inTheHouse)}},
		{"a port", env{"LIVEKIT_JWT_BIND": "", "LIVEKIT_JWT_PORT": "PORT"}},
		{"an SFU at https://", env{"LIVEKIT_URL": "HTTP"}},
		{"a log level", env{"LIVEKIT_LOG_LEVEL": "debug"}},
		{"its other word for a log level", env{"LIVEKIT_LOG_LEVEL": "WARNING"}},
		{"lines that end in CR LF", env{"LIVEKIT_KEY": sfuKey + "\r", "LIVEKIT_SECRET": " " + sfuSecret + "\r\n", "LIVEKIT_FULL_ACCESS_HOMESERVERS": "HOST\r"}},
		{"both in one file, without a blank", none.with(env{"LIVEKIT_KEY_FILE": file(t, sfuKey+":"+sfuSecret+"\r\n")})},
		{"blanks around overrides", env{"LIVEKIT_CS_API_URL_OVERRIDES": " one.example = https://m.one.example , two.example=https://m.two.example"}},
		{"what only ours knows", env{"MATRIXRTC_AUTH_LENIENT": "false", "MATRIXRTC_AUTH_TOKEN_WINDOW": "0s"}},
		{"what is of other programs", env{"LIVEKIT_API_KEY": "x", "LIVEKIT_API_SECRET": "y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &scene{sfu: startFakeSFU(t), hs: startFake(t)}
			e := basic(s.sfu.url(), s.hs.name).with(c.env)
			e["LIVEKIT_FULL_ACCESS_HOMESERVERS"] = strings.ReplaceAll(e["LIVEKIT_FULL_ACCESS_HOMESERVERS"], "HOST", s.hs.name)
			if e["LIVEKIT_URL"] == "HTTP" {
				e["LIVEKIT_URL"] = s.sfu.http.URL
			}
			if e["LIVEKIT_JWT_PORT"] == "PORT" {
				addr := freeAddr(t)
				e["LIVEKIT_JWT_PORT"] = addr[strings.LastIndex(addr, ":")+1:]
				s.service = launch(t, e)
				s.service.url = "http://" + addr
				t.Cleanup(s.kill)
				if !s.up() {
					t.Fatalf("it has ended:\n%s", &s.log)
				}
			} else {
				s.service = start(t, e)
			}
			body := s.sfuGet()
			s.do(post("/sfu/get", body)).granted(t)
			if n, _ := s.sfu.has(hash(body["room"].(string), slot)); n != 1 {
				t.Errorf("the room was made %d times", n)
			}
		})
	}
}

// TestLenient: only where it is asked for do fields pass that nobody knows.
func TestLenient(t *testing.T) {
	t.Parallel()
	needOurs(t, "MATRIXRTC_AUTH_LENIENT")
	s := newScene(t, env{"MATRIXRTC_AUTH_LENIENT": "true"})
	for _, e := range endpoints {
		if got := s.do(post(e.path, edited(e.body(s), set("extra", 1), set("openid_token.extra", 1)))).said(); got != e.good {
			t.Errorf("%s: %s", e.path, got)
		}
	}
}
