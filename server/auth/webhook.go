package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/utils/protojson"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

const (
	maxWebhook = 1 << 20
	// webhookAge is how old a report of the SFU may be: it tries for a while.
	webhookAge = 10 * time.Minute
	// webhookTimeout is how long a report is dealt with before the SFU is told so.
	webhookTimeout = 5 * time.Second
	// maxReports bounds how many reports are remembered, to know them again.
	maxReports = 65536
)

// SFUEvent is what an SFU says of a participant.
type SFUEvent struct {
	// Kind is what has happened.
	Kind SFUEventKind
	// Room and Identity are LiveKit's names of the room and the participant, SID
	// that of the participant's connection.
	Room, Identity, SID string
	// Elsewhere says, of a participant that left, that this connection ended
	// because there is another one.
	Elsewhere bool
	// Down says, of a participant that left, that this connection ended because the
	// SFU goes down.
	Down bool
}

// SFUEventKind is a kind of SFUEvent.
type SFUEventKind string

const (
	// SFUJoined: a participant has connected.
	SFUJoined SFUEventKind = "joined"
	// SFULeft: a connection has ended.
	SFULeft SFUEventKind = "left"
	// SFUAborted: an attempt to connect has failed.
	SFUAborted SFUEventKind = "aborted"
)

// SFUEvent takes what an SFU says of a participant, in the order in which it says
// it. The SFU's webhook does the same; an SFU in the same process can call this.
// It may be called from any goroutine.
func (s *Service) SFUEvent(ctx context.Context, e SFUEvent) {
	if s.closed.Load() || e.Room == "" || e.Identity == "" {
		return
	}
	if e.Kind == SFUJoined {
		s.seats.joined(ctx, e.Room, e.Identity)
	}
	if s.leaves == nil {
		return
	}
	switch e.Kind {
	case SFUJoined:
		s.leaves.happened(ctx, e.Room, e.Identity, leave.Joined{SID: e.SID})
	case SFULeft:
		s.leaves.happened(ctx, e.Room, e.Identity, leave.Left{SID: e.SID, Elsewhere: e.Elsewhere, Down: e.Down})
	case SFUAborted:
		s.leaves.happened(ctx, e.Room, e.Identity, leave.Aborted{SID: e.SID})
	}
}

// serveWebhook takes the reports of a LiveKit server. The answer is 200 whatever
// comes of it, as deployed services answer; only the log tells.
func (s *Service) serveWebhook(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if s.closed.Load() { // the SFU tries again
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	now := time.Now()
	event, err := s.readWebhook(w, r, now)
	switch {
	case err != nil:
		level := slog.LevelDebug
		if s.reports.warned.again(now) {
			level = slog.LevelWarn
		}
		s.log.Log(r.Context(), level, "a report of the SFU was not accepted", "err", err)
		s.metrics.webhooks.WithLabelValues("refused").Inc()
	case !s.reports.first(event.Id):
		s.metrics.webhooks.WithLabelValues("repeated").Inc()
	default:
		s.metrics.webhooks.WithLabelValues("ok").Inc()
		ctx, cancel := context.WithTimeout(r.Context(), webhookTimeout)
		defer cancel()
		if e, ok := fromWebhook(event); ok {
			s.SFUEvent(ctx, e)
		}
	}
	w.WriteHeader(http.StatusOK)
}

// readWebhook checks a report: a token of the SFU's key, with the hash of the
// body in it. Neither it nor the report may be old. A stranger's body is not read.
func (s *Service) readWebhook(w http.ResponseWriter, r *http.Request, now time.Time) (*livekit.WebhookEvent, error) {
	if len(r.Header.Values("Authorization")) != 1 {
		return nil, errors.New("want one authorization")
	}
	token, err := auth.ParseAPIToken(r.Header.Get("Authorization"))
	if err != nil {
		return nil, errors.New("no token of the SFU") // the error repeats it
	}
	if token.APIKey() != s.cfg.Key {
		return nil, errors.New("signed with another key than the one that is configured: webhook.api_key of LiveKit has to be sfu.key (LIVEKIT_KEY)")
	}
	_, claims, err := token.Verify(string(s.cfg.Secret)) // checks its time, too
	if err != nil {
		return nil, errors.New("the signature is wrong or old: LiveKit has another secret for that key than sfu.secret (LIVEKIT_SECRET), or another time")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	if err != nil {
		return nil, err
	}
	readBy(w, time.Time{})
	sum := sha256.Sum256(body)
	if subtle.ConstantTimeCompare([]byte(claims.Sha256), []byte(base64.StdEncoding.EncodeToString(sum[:]))) != 1 {
		return nil, errors.New("the signature is that of another body")
	}
	event := &livekit.WebhookEvent{}
	if unmarshalReport(body, event) != nil {
		return nil, errors.New("not a report of a LiveKit server")
	}
	if at := event.CreatedAt; at != 0 && now.Sub(time.Unix(at, 0)) > webhookAge {
		return nil, errors.New("the report is too old")
	}
	return event, nil
}

func unmarshalReport(body []byte, into *livekit.WebhookEvent) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true, AllowPartial: true}.Unmarshal(body, into)
}

// fromWebhook is what a report says of a participant.
func fromWebhook(w *livekit.WebhookEvent) (SFUEvent, bool) {
	p := w.GetParticipant()
	e := SFUEvent{Room: w.GetRoom().GetName(), Identity: p.GetIdentity(), SID: p.GetSid()}
	switch w.GetEvent() {
	case "participant_joined":
		e.Kind = SFUJoined
	case "participant_left":
		e.Kind = SFULeft
		switch p.GetDisconnectReason() {
		case livekit.DisconnectReason_DUPLICATE_IDENTITY, livekit.DisconnectReason_MIGRATION:
			e.Elsewhere = true
		case livekit.DisconnectReason_SERVER_SHUTDOWN:
			e.Down = true
		}
	case "participant_connection_aborted":
		e.Kind = SFUAborted
	default:
		return e, false
	}
	return e, true
}

// reports knows the reports that have come, to know them again.
type reports struct {
	mu     sync.Mutex
	seen   *throttle.LRU[string, struct{}]
	warned seldom
}

func newReports() *reports { return &reports{seen: throttle.NewLRU[string, struct{}](maxReports)} }

// first says whether a report comes for the first time. One without an id always
// does.
func (r *reports) first(id string) bool {
	if id == "" {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen.Get(id); ok {
		return false
	}
	r.seen.Put(id, struct{}{})
	return true
}
