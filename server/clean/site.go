package clean

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// Paths of the answers below the site's admin listener.
const (
	pathAbout        = "/sfu"
	pathParticipants = "/sfu/participants"
)

type about struct {
	Services []string `json:"services"`
	Sure     bool     `json:"sure"`
}

type participants struct {
	List []participant `json:"participants"`
}

type participant struct {
	Identity string `json:"identity"`
	Tracks   int    `json:"tracks"`
}

// Handler answers who is on the SFU, for a Site elsewhere:
//
//	GET /sfu                         by which addresses the SFU is known
//	GET /sfu/participants?room=NAME  who is in one of its rooms
//
// It tells who calls whom, so it belongs on the admin listener.
func Handler(from Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathAbout, func(w http.ResponseWriter, r *http.Request) {
		services, sure, err := from.About(r.Context())
		answer(w, about{services, sure}, err)
	})
	mux.HandleFunc("GET "+pathParticipants, func(w http.ResponseWriter, r *http.Request) {
		room := r.FormValue("room")
		if room == "" {
			http.Error(w, "say which room of the SFU: ?room=NAME", http.StatusBadRequest)
			return
		}
		list, err := from.Participants(r.Context(), room)
		out := participants{List: make([]participant, 0, len(list))}
		for _, p := range list {
			out.List = append(out.List, participant(p))
		}
		answer(w, out, err)
	})
	return mux
}

func answer(w http.ResponseWriter, doc any, err error) {
	if err != nil {
		http.Error(w, ErrNoAnswer.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(doc) // a reader that is gone needs no answer
}

// Site is a source: a site of this project, asked through its admin listener.
type Site struct {
	// URL is the admin listener's, like http://127.0.0.1:8090.
	URL string
	// Token is the admin token, if the listener wants one.
	Token string
	// HTTP makes the requests; nil: a client with a timeout of 10 s.
	HTTP *http.Client
}

var _ Source = (*Site)(nil)

// maxAnswer bounds an answer of a site.
const maxAnswer = 4 << 20

// About implements Source.
func (s *Site) About(ctx context.Context) ([]string, bool, error) {
	var a about
	err := s.get(ctx, pathAbout, &a)
	return a.Services, a.Sure, err
}

// Participants implements Source.
func (s *Site) Participants(ctx context.Context, room string) ([]suspect.Participant, error) {
	var p participants
	if err := s.get(ctx, pathParticipants+"?room="+url.QueryEscape(room), &p); err != nil {
		return nil, err
	}
	out := make([]suspect.Participant, 0, len(p.List))
	for _, one := range p.List {
		out = append(out, suspect.Participant(one))
	}
	return out, nil
}

func (s *Site) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(s.URL, "/")+path, nil)
	if err != nil {
		return noAnswer(fmt.Errorf("the site's address %q is no URL", s.URL))
	}
	if s.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.Token)
	}
	client := s.HTTP
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	res, err := client.Do(req)
	if err != nil {
		return noAnswer(fmt.Errorf("the site at %s does not answer (its admin listener is meant, as the status page): %w", s.URL, err))
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return noAnswer(fmt.Errorf("the site at %s wants its admin token", s.URL))
	case res.StatusCode == http.StatusNotFound:
		return noAnswer(fmt.Errorf("nothing at %s tells of an SFU: is that the admin listener of a site?", s.URL))
	case res.StatusCode != http.StatusOK:
		return noAnswer(fmt.Errorf("the site at %s answers with HTTP %d", s.URL, res.StatusCode))
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(into); err != nil {
		return noAnswer(fmt.Errorf("the answer of %s cannot be read", s.URL))
	}
	return nil
}
