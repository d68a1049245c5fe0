package web

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/past"
)

// pastStyle is the style of the page of past calls: that of the drawing, and of
// what stands around it.
const pastStyle = `
.brand { display: flex; align-items: center; gap: 0.7rem; min-width: 0; }
.brand img { display: block; }
.top nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; margin-left: auto; font-size: 0.93rem; }
.top nav [aria-current] { color: inherit; font-weight: 600; text-decoration: none; }
.rooms { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; margin-bottom: 0.9rem; font-size: 0.93rem; }
.rooms [aria-current] { color: inherit; font-weight: 600; text-decoration: none; }
.known { color: var(--muted); font-size: 0.87rem; margin-bottom: 0.9rem; }
`

// servePast serves the page of past calls. ?room= shows one room, ?tz= says in
// which time zone: that of the reader, whom the server does not know.
func (b *Board) servePast(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	known, ok := b.knownPast(w, r, now)
	if !ok {
		return
	}
	zone := b.zoneOf(r)
	names := map[matrixrtc.RoomID]string{}
	for _, room := range known.rooms {
		names[room.ID] = room.Name
	}
	picture := past.NewPicture(&past.Options{
		Location: zone, At: now, Most: max(b.opts.MaxPast, 1),
		RoomName: func(id matrixrtc.RoomID) string { return names[id] },
	})
	for i := range known.calls {
		_ = picture.Add(&known.calls[i]) // it does not fail
	}
	var page bytes.Buffer
	b.pastHead(&page, r, known, now.In(zone))
	_ = picture.WriteFragment(&page) // neither does a buffer
	page.WriteString("</main>\n<footer><p>Computed from what each device says of itself (MSC4143). Striped: not certain; how far it is off nobody knows.</p></footer>\n</body>\n</html>\n")
	serveFresh(w, "text/html; charset=utf-8", page.Bytes())
}

// pastHead writes the page up to the drawing.
func (b *Board) pastHead(page *bytes.Buffer, r *http.Request, known pastCalls, now time.Time) {
	site := html.EscapeString(clip(b.opts.Site, maxName))
	fmt.Fprintf(page, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>History of %s</title>
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/past.css">
</head>
<body>
<header class="top">
<div class="brand"><img src="static/icon.svg" alt="" width="28" height="28"><h1>%s</h1></div>
<nav aria-label="Pages"><a href="./">Now</a><a href="history" aria-current="page">History</a><a href="history.jsonl">history.jsonl</a></nav>
</header>
<main>
`, site, site)
	if len(known.rooms) > 1 {
		page.WriteString(`<nav class="rooms" aria-label="Rooms">`)
		for _, room := range append([]Room{{Name: "All rooms"}}, known.rooms...) {
			query := url.Values{}
			if tz := r.URL.Query().Get("tz"); tz != "" {
				query.Set("tz", tz)
			}
			current := ""
			if room.ID != "" {
				query.Set("room", string(room.ID))
			}
			if matrixrtc.RoomID(r.URL.Query().Get("room")) == room.ID {
				current = ` aria-current="true"`
			}
			name := room.Name
			if name == "" {
				name = string(room.ID)
			}
			fmt.Fprintf(page, `<a href="%s"%s><bdi>%s</bdi></a>`, html.EscapeString("history?"+query.Encode()), current, html.EscapeString(clip(name, maxName)))
		}
		page.WriteString("</nav>\n")
	}
	const clock = "2 January 2006, 15:04"
	fmt.Fprintf(page, `<p class="known">As of %s, times of %s.`, now.Format(clock), html.EscapeString(now.Location().String()))
	switch {
	case len(known.rooms) == 0:
		page.WriteString(" No room is watched.")
	default:
		fmt.Fprintf(page, " Calls that went on since %s, when the site began to watch", known.since.In(now.Location()).Format(clock))
		if known.dropped > 0 {
			fmt.Fprintf(page, "; %d older ones are not kept any more", known.dropped)
		}
		page.WriteString(".")
	}
	page.WriteString("</p>\n")
}

// servePastLines serves the documents of the past calls, one per line.
func (b *Board) servePastLines(w http.ResponseWriter, r *http.Request) {
	known, ok := b.knownPast(w, r, time.Now())
	if !ok {
		return
	}
	var lines bytes.Buffer
	out := past.NewJSON(&lines)
	for i := range known.calls {
		_ = out.Add(&known.calls[i]) // a buffer takes everything
	}
	_ = out.Close()
	serveFresh(w, "application/x-ndjson", lines.Bytes())
}

// knownPast gives the calls that a request asks for, or answers it.
func (b *Board) knownPast(w http.ResponseWriter, r *http.Request, now time.Time) (known pastCalls, ok bool) {
	if b.past.most < 0 {
		http.NotFound(w, r)
		return known, false
	}
	room := matrixrtc.RoomID(r.URL.Query().Get("room"))
	known = b.past.at(now, room)
	for _, there := range known.rooms {
		ok = ok || there.ID == room
	}
	if ok = ok || room == ""; !ok {
		http.Error(w, "that room is not watched", http.StatusNotFound)
	}
	return known, ok
}

// zoneOf is the time zone that a request asks for, else the site's.
func (b *Board) zoneOf(r *http.Request) *time.Location {
	name := r.URL.Query().Get("tz")
	if name == "" || len(name) > 64 {
		return b.opts.Zone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return b.opts.Zone
	}
	return zone
}

// serveFresh answers with what was made for this request.
func serveFresh(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body) // a reader that is gone needs no answer
}
