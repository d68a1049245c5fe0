package gapfill

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// pageSize bounds a list.
const pageSize = 100

// item is a delayed event as its user sees it, under the names of all
// generations.
type item struct {
	ID          string          `json:"delay_id"`
	Room        string          `json:"room_id"`
	Type        string          `json:"type"`
	StateKey    *string         `json:"state_key,omitempty"`
	Delay       int64           `json:"delay_ms"`
	OldDelay    int64           `json:"delay"`
	ScheduledAt int64           `json:"scheduled_at"`
	OldSince    int64           `json:"running_since"`
	Content     json.RawMessage `json:"content"`
	EventID     string          `json:"event_id,omitempty"`
	Error       json.RawMessage `json:"error,omitempty"`
	Finalised   int64           `json:"finalised_ts,omitempty"`
}

func view(d *Delayed) item {
	i := item{
		ID: d.ID, Room: d.Room, Type: d.Type, StateKey: d.StateKey, Content: d.Content,
		Delay: d.Delay.Milliseconds(), OldDelay: d.Delay.Milliseconds(),
		ScheduledAt: d.Since.UnixMilli(), OldSince: d.Since.UnixMilli(),
		EventID: d.EventID, Error: d.Error,
	}
	if d.State.Final() {
		i.Finalised = d.Finalised.UnixMilli()
	}
	return i
}

// final is an item of the list of what is final, as it once was.
type final struct {
	Event   item   `json:"delayed_event"`
	Old     item   `json:"scheduled_event"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
	// These are repeated beside the event.
	ID        string          `json:"delay_id"`
	EventID   string          `json:"event_id,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
	Finalised int64           `json:"origin_server_ts"`
}

func viewFinal(d *Delayed) final {
	f := final{ID: d.ID, Event: view(d), EventID: d.EventID, Error: d.Error, Finalised: d.Finalised.UnixMilli(), Outcome: "cancel", Reason: "action"}
	f.Old = f.Event
	switch {
	case d.State == Sent:
		f.Outcome = "send"
		if !d.Finalised.Before(d.Since.Add(d.Delay)) {
			f.Reason = "delay"
		}
	case len(d.Error) > 0:
		f.Reason = "error"
	}
	return f
}

// list answers with the delayed events of a user: those that are scheduled under
// the names of all generations, and what has become of others.
func (s *Service) list(w http.ResponseWriter, r *http.Request, query url.Values) *refusal {
	c, f := s.need(r, query)
	if f != nil {
		return f
	}
	status, from := query.Get("status"), query.Get("from")
	if status != "" && status != "scheduled" && status != "finalised" {
		return refuse(http.StatusBadRequest, codeInvalid, "status is neither scheduled nor finalised")
	}
	wanted := query["delay_id"]
	answer := map[string]any{}
	if status != "finalised" {
		open, next, f := s.page(r, c.user, Page{From: from, Limit: pageSize})
		if f != nil {
			return f
		}
		slices.SortStableFunc(open, func(a, b Delayed) int { return a.Since.Add(a.Delay).Compare(b.Since.Add(b.Delay)) })
		list := []item{}
		for _, d := range pick(open, wanted) {
			list = append(list, view(&d))
		}
		answer["delayed_events"], answer["scheduled"] = list, list
		if next != "" {
			answer["next_batch"] = next
		}
	}
	if status == "finalised" || status == "" && from == "" {
		past, next, f := s.page(r, c.user, Page{Final: true, From: from, Limit: pageSize})
		if f != nil {
			return f
		}
		list := []final{}
		for _, d := range pick(past, wanted) {
			list = append(list, viewFinal(&d))
		}
		answer["finalised"] = list
		if next != "" && status != "" {
			answer["next_batch"] = next
		}
	}
	writeJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Service) page(r *http.Request, user string, p Page) ([]Delayed, string, *refusal) {
	list, next, err := s.store.List(r.Context(), user, p)
	switch {
	case errors.Is(err, ErrBadPage):
		return nil, "", refuse(http.StatusBadRequest, codeInvalid, "from is not a place in this list")
	case err != nil:
		return nil, "", s.broken(err)
	}
	return list, next, nil
}

// pick keeps the events that are wanted; all, if none are named.
func pick(list []Delayed, ids []string) []Delayed {
	if len(ids) == 0 {
		return list
	}
	return slices.DeleteFunc(list, func(d Delayed) bool { return !slices.Contains(ids, d.ID) })
}

// look answers with one delayed event of the user.
func (s *Service) look(w http.ResponseWriter, r *http.Request, p place, query url.Values) *refusal {
	c, f := s.need(r, query)
	if f != nil {
		return f
	}
	d, err := s.store.Get(r.Context(), p.id)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && d.User != c.user:
		return gone()
	case err != nil:
		return s.broken(err)
	}
	writeJSON(w, http.StatusOK, view(d))
	return nil
}

// short names an event in the log: the delay id itself is a key to it.
func short(id string) string {
	sum := sha256.Sum256([]byte("log\x00" + id))
	return hex.EncodeToString(sum[:4])
}

// txnName names a request to schedule: the same one of the same device means the
// same event.
func txnName(c caller, p place) string {
	form := "query"
	if p.endpoint {
		form = "endpoint"
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{c.user, c.device, form, p.room, p.typ, p.txn}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// due is when an event is to be sent, by what its user was told.
func (d *Delayed) due() time.Time { return d.Since.Add(d.Delay) }

// byDue orders events by that.
func byDue(a, b Delayed) int { return cmp.Or(a.due().Compare(b.due()), cmp.Compare(a.ID, b.ID)) }
