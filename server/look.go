package server

import (
	"context"
	"net/http"

	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

// Look makes a LiveKit that runs elsewhere, whose key is known, tell who is there.
// services are the authorization services that lead to it; what names those give
// to its rooms is guessed. The key is tried with the first question.
func Look(url, key string, secret Secret, services []string) clean.Source {
	rooms := sfu.NewRooms(httpURL(url), key, string(secret), newSFUClient(false))
	return &clean.Local{List: lister(rooms), Services: append([]string{websocketURL(url)}, services...)}
}

// lister asks a room service.
func lister(rooms interface {
	Participants(ctx context.Context, room string) ([]sfu.Participant, error)
}) func(context.Context, string) ([]suspect.Participant, error) {
	return func(ctx context.Context, room string) ([]suspect.Participant, error) {
		list, err := rooms.Participants(ctx, room)
		if err != nil {
			return nil, err
		}
		out := make([]suspect.Participant, 0, len(list))
		for _, p := range list {
			out = append(out, suspect.Participant{Identity: p.Identity, Tracks: p.Tracks})
		}
		return out, nil
	}
}

// Source tells who is on the SFU of a running site; nil before Ready.
func (s *Server) Source() clean.Source { return afterReady(s, &s.source) }

// look makes the site's own SFU tell who is there. Memberships name it by the
// authorization service, with its usual prefix or without, or by its own address.
func (m *media) look(base string) clean.Source {
	rooms, ok := m.rooms.(interface {
		Participants(ctx context.Context, room string) ([]sfu.Participant, error)
	})
	if !ok {
		return nil
	}
	return &clean.Local{List: lister(rooms), Services: []string{base + jwtPrefix, base, m.url}, Sure: true}
}

// adminPages puts what tells who is on the SFU, and how the site is, beside the
// pages of the admin listener.
func (s *Server) adminPages(from clean.Source, in *health) http.Handler {
	mux := http.NewServeMux()
	if from != nil {
		mux.Handle("/sfu", clean.Handler(from))
		mux.Handle("/sfu/", clean.Handler(from))
	}
	in.mount(mux)
	mux.Handle("/", s.opts.Admin)
	return mux
}
