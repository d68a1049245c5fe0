package authbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
)

// fakeSFU is the room service of a LiveKit in this process: it makes rooms and
// knows who is in them, as the tests say, and carries nobody's media.
type fakeSFU struct {
	livekit.RoomService // nil: what is not below is not asked for
	http                *httptest.Server

	mu      sync.Mutex
	rooms   map[string]*livekit.CreateRoomRequest
	made    map[string]int                      // how often, by name
	here    map[string]*livekit.ParticipantInfo // by room and identity
	looks   map[string]int                      // how often, by room and identity
	failing error                               // of everything; nil: nothing fails
}

func startFakeSFU(t testing.TB) *fakeSFU {
	s := &fakeSFU{
		rooms: map[string]*livekit.CreateRoomRequest{}, made: map[string]int{},
		here: map[string]*livekit.ParticipantInfo{}, looks: map[string]int{},
	}
	rpc := livekit.NewRoomServiceServer(s)
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rpc.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, r.Header.Get("Authorization"))))
	}))
	t.Cleanup(s.http.Close)
	return s
}

type tokenKey struct{}

// permitted checks the token of a request.
func permitted(ctx context.Context, what string) error {
	token, _ := strings.CutPrefix(ctx.Value(tokenKey{}).(string), "Bearer ")
	claims, err := verify(sfuSecret, token)
	if err != nil {
		return twirp.NewError(twirp.Unauthenticated, err.Error())
	}
	if video, _ := claims["video"].(object); video[what] != true {
		return twirp.NewError(twirp.Unauthenticated, "the token has no "+what) // as LiveKit says it
	}
	return nil
}

// url is what LIVEKIT_URL is set to.
func (s *fakeSFU) url() string { return "ws" + strings.TrimPrefix(s.http.URL, "http") }

func (s *fakeSFU) CreateRoom(ctx context.Context, q *livekit.CreateRoomRequest) (*livekit.Room, error) {
	if err := permitted(ctx, "roomCreate"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return nil, s.failing
	}
	s.rooms[q.Name] = q
	s.made[q.Name]++
	return &livekit.Room{Name: q.Name, Sid: "RM_1", EmptyTimeout: q.EmptyTimeout, DepartureTimeout: q.DepartureTimeout}, nil
}

func (s *fakeSFU) GetParticipant(ctx context.Context, q *livekit.RoomParticipantIdentity) (*livekit.ParticipantInfo, error) {
	if err := permitted(ctx, "roomAdmin"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return nil, s.failing
	}
	s.looks[q.Room+"\x00"+q.Identity]++
	if p := s.here[q.Room+"\x00"+q.Identity]; p != nil {
		return p, nil
	}
	return nil, twirp.NewError(twirp.NotFound, "participant does not exist")
}

func (s *fakeSFU) ListParticipants(ctx context.Context, q *livekit.ListParticipantsRequest) (*livekit.ListParticipantsResponse, error) {
	if err := permitted(ctx, "roomAdmin"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing != nil {
		return nil, s.failing
	}
	out := &livekit.ListParticipantsResponse{}
	for key, p := range s.here {
		if strings.HasPrefix(key, q.Room+"\x00") {
			s.looks[key]++
			out.Participants = append(out.Participants, p)
		}
	}
	return out, nil
}

// fail has everything fail, or nothing any more.
func (s *fakeSFU) fail(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = nil
	if on {
		s.failing = twirp.InternalErrorWith(errors.New("the tests say so"))
	}
}

// has says how often a room was made, and how.
func (s *fakeSFU) has(room string) (times int, how *livekit.CreateRoomRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made[room], s.rooms[room]
}

// seat is somebody's place on the SFU.
type seat struct{ room, identity, sid string }

func seatOf(g *grant) *seat { return &seat{g.room, g.sub, "PA_" + rand.Text()[:12]} }

// enter and leave change who is there. They tell nobody.
func (s *fakeSFU) enter(p *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.here[p.room+"\x00"+p.identity] = &livekit.ParticipantInfo{
		Sid: p.sid, Identity: p.identity, State: livekit.ParticipantInfo_ACTIVE, JoinedAt: time.Now().Unix(), JoinedAtMs: time.Now().UnixMilli(),
	}
}

func (s *fakeSFU) leave(p *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.here, p.room+"\x00"+p.identity)
}

// webhook is a report of an SFU, signed and ready to be sent.
func webhook(event string, p *seat, reason string) request {
	return signedWebhook(sfuSecret, webhookBody(event, p, reason, time.Now()), time.Now().Add(5*time.Minute))
}

func webhookBody(event string, p *seat, reason string, at time.Time) []byte {
	participant := object{"sid": p.sid, "identity": p.identity, "state": "ACTIVE"}
	if reason != "" {
		participant["disconnectReason"], participant["state"] = reason, "DISCONNECTED"
	}
	return encode(object{
		"event": event, "room": object{"name": p.room, "sid": "RM_1"}, "participant": participant,
		"id": "EV_" + rand.Text(), "createdAt": fmt.Sprint(at.Unix()),
	})
}

func signedWebhook(secret string, body []byte, until time.Time) request {
	sum := sha256.Sum256(body)
	return request{path: "/sfu_webhook", body: body, header: map[string]string{
		"Content-Type": "application/webhook+json",
		"Authorization": sign(secret, object{
			"iss": sfuKey, "sha256": base64.StdEncoding.EncodeToString(sum[:]),
			"nbf": until.Add(-5 * time.Minute).Unix(), "exp": until.Unix(),
		}),
	}}
}

// joined has the participant come, and the SFU say so.
func (s *fakeSFU) joined(to *service, p *seat) {
	to.t.Helper()
	s.enter(p)
	if r := to.do(webhook("participant_joined", p, "")); r.status != http.StatusOK {
		to.t.Errorf("the webhook is answered with %d", r.status)
	}
}

// left has the participant go, and the SFU say so.
func (s *fakeSFU) left(to *service, p *seat, reason string) {
	to.t.Helper()
	s.leave(p)
	if r := to.do(webhook("participant_left", p, reason)); r.status != http.StatusOK {
		to.t.Errorf("the webhook is answered with %d", r.status)
	}
}

func (s *fakeSFU) RemoveParticipant(ctx context.Context, q *livekit.RoomParticipantIdentity) (*livekit.RemoveParticipantResponse, error) {
	if err := permitted(ctx, "roomAdmin"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.here[q.Room+"\x00"+q.Identity] == nil {
		return nil, twirp.NewError(twirp.NotFound, "participant does not exist")
	}
	delete(s.here, q.Room+"\x00"+q.Identity)
	return &livekit.RemoveParticipantResponse{}, nil
}

func (s *fakeSFU) isThere(p *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.here[p.room+"\x00"+p.identity] != nil
}
