package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"

	"github.com/matrixrtc-go/matrixrtc"
)

// TestPage looks at the page in a browser, at what is true in a real computed
// room. Every tab checks that the console stays empty.
func TestPage(t *testing.T) {
	browser := pagetest.Start(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *pagetest.Browser)
	}{
		{"members", pageMembers},
		{"stays", pageStays},
		{"moves", pageMoves},
		{"calm", pageCalm},
		{"unknown", pageUnknown},
		{"hostile", pageHostile},
		{"notes", pageNotes},
		{"crowd", pageCrowd},
		{"connection", pageConnection},
		{"noscript", pageWithoutScript},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, browser) })
	}
}

// texts returns the shown text of all nodes that match.
func (p *tab) texts(selector string) []string {
	p.t.Helper()
	q, err := json.Marshal(selector)
	if err != nil {
		p.t.Fatal(err)
	}
	return eval[[]string](p, `[...document.querySelectorAll(`+string(q)+`)].map((n) => n.innerText.trim())`)
}

func (p *tab) want(what, selector string, want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, p.texts(selector)); diff != "" {
		p.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func pageMembers(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	now := time.Now()
	w := watch(t, b, "!room:x", "Tuesday call")
	p := openTab(t, browser, serve(t, b))
	p.until(`document.querySelector('#empty-title').innerText === 'Nobody is in a session'`)

	alice, bob := w.person("@alice:x", "LAPTOP", matrixrtc.DialectDraft), w.person("@bob:x", "PHONE", matrixrtc.DialectCall)
	alice.join(now)
	bob.join(now.Add(time.Millisecond))
	p.until(`document.querySelectorAll('tr.member').length === 2 && document.querySelector('#empty').hidden`)
	p.want("users", "tr.member .user", "@alice:x", "@bob:x")
	p.want("devices", "tr.member .device", "LAPTOP", "PHONE")
	p.want("dialects", "tr.member .badge", "draft", "call")
	p.want("transports", "tr.member .transport > span > span", "livekit", "127.0.0.1:8080", "livekit", "127.0.0.1:8080")
	p.want("room and application", ".session h2, .session > header .badge", "Tuesday call", "m.call")
	if got := p.texts(".facts")[0]; !strings.Contains(got, "2 devices of 2 users") || !strings.Contains(got, "video") {
		t.Errorf("the session's facts are %q", got)
	}
	if got := eval[string](p, `document.title`); !strings.HasPrefix(got, "1 session, 2 devices") {
		t.Errorf("the title is %q", got)
	}

	alice.leave(time.Now())
	p.until(`document.querySelectorAll('tr.member').length === 1`)
	p.want("users after a leave", "tr.member .user", "@bob:x")

	key := func(x *person) matrixrtc.MemberKey { return x.m.MemberKey() }
	for i := range 4 {
		n := uint64(i)
		b.Media(now.Add(time.Duration(i)*time.Second), "!room:x", Flow{To: key(bob), From: key(alice), AudioPackets: 50 * n, VideoFrames: 15 * n, Bytes: 20_000 * n})
	}
	p.until(`document.querySelector('tr.member .got').innerText === '160 kbit/s'`)
	p.want("media", "tr.member .receives .detail", "50 audio/s · 15 video/s")
	if got := eval[string](p, `document.querySelector('.got').title`); !strings.Contains(got, "from @alice:x LAPTOP") {
		t.Errorf("where the media comes from: %q", got)
	}
}

// pageStays: how a stay ended shows in the class and in the shape of its end.
func pageStays(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	start := time.Now().Add(-40 * time.Second)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	w := &watched{t: t, board: b, room: matrixrtc.NewRoom("!room:x", &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownJoined})}
	here := w.person("@here:x", "D", matrixrtc.DialectDraft)
	here.m.Created, here.m.CreatedStated = start.Add(-time.Minute), true
	here.join(start) // was there before we looked
	people := map[string]*person{}
	for _, name := range []string{"leaver", "crasher", "rejoiner", "kicked"} {
		p := w.person("@"+name+":x", "D", matrixrtc.DialectCall)
		if name == "crasher" {
			p.m.Lifetime = 15 * time.Second
		}
		p.join(at(5))
		people[name] = p
	}
	people["leaver"].leave(at(12))
	key := "@kicked:x"
	w.state(at(15), "@mod:x", matrixrtc.Outgoing{Type: matrixrtc.TypeRoomMember, StateKey: &key, Content: json.RawMessage(`{"membership":"leave"}`)})
	people["rejoiner"].join(at(18))
	w.advance(at(25))

	p := openTab(t, browser, serve(t, b))
	p.until(`document.querySelectorAll('.plot .bar').length === 6`)
	got := eval[map[string][]string](p, barsByUser)
	want := map[string][]string{
		"@here:x":     {"bar here uncertain circle"},
		"@leaver:x":   {"bar left path"},
		"@crasher:x":  {"bar expired tail path"},
		"@rejoiner:x": {"bar here circle", "bar moved path"},
		"@kicked:x":   {"bar removed path"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bars (-want +got):\n%s", diff)
	}
	if caps := eval[int](p, `new Set([...document.querySelectorAll('.legend .cap')].map((c) => c.getAttribute('d') ?? c.tagName)).size`); caps != 5 {
		t.Errorf("%d shapes of ends in the legend, want 5 different ones", caps)
	}
	for _, say := range []string{"@leaver:x left · stayed 7 s", "@crasher:x fell silent: its membership expired · stayed 15 s", "@kicked:x left the room, was kicked or banned · stayed 10 s", "@rejoiner:x joined anew", "@here:x was already there"} {
		p.until(fmt.Sprintf(`[...document.querySelectorAll('#lately li')].some((n) => n.innerText.replace(/\s+/g, ' ').includes(%q))`, say))
	}
	move := func(selector string) {
		t.Helper()
		at := eval[[]float64](p, `(() => { const r = document.querySelector('`+selector+`').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`)
		if err := chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: at[0], Y: at[1]})
			return err
		})); err != nil {
			t.Fatal(err)
		}
	}
	move(".plot .bar.expired .touch")
	p.until(`/@crasher:x · D\njoined .*\nended .* after 15 s: fell silent: its membership expired\nlast heard of/.test(document.querySelector('#tip').innerText)`)
	move("h1")
	p.until(`document.querySelector('#tip').hidden`)
	// A bar is as long as the stay: the crasher's 15 s against the leaver's 7 s.
	if ratio := eval[float64](p, `(() => {
		const long = (u) => [...document.querySelectorAll('.plot .bar')].filter((g) => g.stay.user_id === u)
			.flatMap((g) => [...g.querySelectorAll('.body, .tail')]).reduce((n, r) => n + Number(r.getAttribute('width')), 0);
		return long('@crasher:x') / long('@leaver:x');
	})()`); ratio < 15.0/7*0.97 || ratio > 15.0/7*1.03 {
		t.Errorf("the bars' lengths are as %.2f to 1, want 15 to 7", ratio)
	}
}

const barsByUser = `(() => {
	const out = {};
	for (const g of document.querySelectorAll('.plot .bar'))
		(out[g.stay.user_id] ??= []).push(g.getAttribute('class') + (g.querySelector('.tail') ? ' tail ' : ' ') + g.querySelector('.cap').tagName);
	for (const all of Object.values(out)) all.sort();
	return out;
})()`

func pageMoves(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	now := time.Now()
	w := watch(t, b, "!room:x", "Room")
	gone, here := w.person("@gone:x", "D", matrixrtc.DialectDraft), w.person("@here:x", "D", matrixrtc.DialectCall)
	gone.join(now)
	here.join(now)
	gone.leave(now.Add(time.Second))
	p := openTab(t, browser, serve(t, b))
	p.until(`document.querySelectorAll('.plot .bar').length === 2`)
	if err := chromedp.Do(p.ctx, chromedp.Click(`#spans button`)); err != nil {
		t.Fatal(err)
	}
	p.until(`document.querySelector('#spans button').getAttribute('aria-pressed') === 'true'`)
	const box = `((kind) => { const r = document.querySelector('.plot .bar.' + kind + ' .body').getBoundingClientRect(); return [r.left, r.right]; })`
	left, alive := eval[[]float64](p, box+`('left')`), eval[[]float64](p, box+`('here')`)
	p.until(fmt.Sprintf(`%s('left')[1] < %f - 10`, box, left[1]))
	left2, alive2 := eval[[]float64](p, box+`('left')`), eval[[]float64](p, box+`('here')`)
	if was, is := left[1]-left[0], left2[1]-left2[0]; is < was-0.5 || is > was+0.5 {
		t.Errorf("the bar of one who has left was %.1f px long and is %.1f", was, is)
	}
	if was, is := alive[1]-alive[0], alive2[1]-alive2[0]; is < was+8 {
		t.Errorf("the bar of one who is there was %.1f px long and is %.1f: it does not grow", was, is)
	}
	if d := alive2[1] - alive[1]; d < -1.5 || d > 1.5 {
		t.Errorf("now has moved by %.1f px", d)
	}
	since := p.texts("tr.member [data-since]")[0]
	p.until(fmt.Sprintf(`document.querySelector('tr.member [data-since]').innerText !== %q`, since))
}

func pageCalm(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	showcase(b, time.Now())
	p := openTab(t, browser, serve(t, b), &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
	p.until(`document.querySelectorAll('.plot .bar').length > 4`)
	if n := eval[int](p, `document.getAnimations().length`); n != 0 {
		t.Errorf("%d animations run though the viewer asked for none", n)
	}
}

func pageUnknown(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	w := watch(t, b, "!room:x", "Room")
	zed := w.person("@zed:x", "LOFT", matrixrtc.DialectDraft)
	makeUnknown(zed)
	zed.join(time.Now())
	bad := "@bad:x"
	w.state(time.Now(), "@bad:x", matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &bad, Content: json.RawMessage(`{"application":7,"expires":"soon"}`)})
	p := openTab(t, browser, serve(t, b))
	p.until(`document.querySelectorAll('tr.member').length === 1`)
	p.want("application", ".session > header .badge", "unknown application org.example.whiteboard")
	p.want("transport", "tr.member .transport .badge", "unknown transport")
	p.want("its type", "tr.member .transport .detail", "org.example.carrier_pigeon")
	if got := p.texts(".warn"); len(got) != 1 || !strings.HasPrefix(got[0], "1 member cannot be reached") {
		t.Errorf("warning: %q", got)
	}
	p.until(`document.querySelector('#invalid-title').innerText === '1 event not valid'`)
	if n := eval[int](p, `document.querySelectorAll('#invalid li li').length`); n == 0 {
		t.Error("the problems of the invalid event are not listed")
	}
}

func pageHostile(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(&Options{Site: `<img src=x onerror="window.owned=1">`})
	now := time.Now()
	s := newStage(b, "!room:x", "<script>window.owned=2</script>\u202Elive\u202C")
	s.tell(now.Add(-time.Minute))
	evil := `<svg onload=window.owned=3>'&amp;` + strings.Repeat("W", 3000)
	s.join(now, "@a\u202Eevil\u202C\u200B:x<b>bold</b>", evil, matrixrtc.DialectName("<i>d</i>"), "m.call\" onmouseover=\"owned=4",
		`{"type":"<iframe src=javascript:owned=5>","livekit_service_url":"javascript:owned=6"}`, 0)
	s.join(now, "@b:x", "D", matrixrtc.DialectCall, "m.call", `{"type":"livekit","livekit_service_url":{"a":["`+evil+`"]}}`, 0)
	s.end(now, "@b:x", matrixrtc.Cause("<u>why</u>"))
	s.join(now, "@b:x", "D", matrixrtc.DialectCall, "m.call", `{"type":"livekit","livekit_service_url":null}`, -time.Hour)
	b.Note(now, slog.LevelError, "<img src=x onerror=owned=7>")
	b.Condition(now, "k", slog.LevelError, "<img src=x onerror=owned=8>")
	s.tell(now)
	p := openTab(t, browser, serve(t, b))
	if err := chromedp.Do(p.ctx, chromedp.EmulateViewport(420, 800)); err != nil {
		t.Fatal(err)
	}
	p.until(`document.querySelectorAll('tr.member').length === 2`)
	if owned := eval[bool](p, `'owned' in window`); owned {
		t.Error("a name has run as script")
	}
	if n := eval[int](p, `document.querySelectorAll('img, iframe, b, u, body svg[onload], script').length`); n != 2 {
		t.Errorf("%d elements where the page has 2: names became markup", n)
	}
	if tricks := eval[bool](p, `/[\u202a-\u202e\u2066-\u2069\u200b]/.test(document.body.innerText + [...document.querySelectorAll('[title]')].map((n) => n.title).join())`); tricks {
		t.Error("characters that reorder text are on the page")
	}
	if !eval[bool](p, `document.body.innerText.includes('@a\ufffdevil\ufffd\ufffd:x<b>bold</b>')`) {
		t.Errorf("the hostile name is not shown as it is: %q", p.texts("tr.member .user"))
	}
	shown := eval[[]int](p, `[...document.querySelectorAll('tr.member .device')].map((n) => n.innerText.length)`)
	title := eval[int](p, `Math.max(...[...document.querySelectorAll('tr.member .device')].map((n) => n.title.length))`)
	if max(shown[0], shown[1]) > 40 || title < 1500 {
		t.Errorf("a long device id: %v letters are shown, %d in the title", shown, title)
	}
	if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > 420 {
		t.Errorf("the page is %d px wide in a window of 420", wide)
	}
}

func pageNotes(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	p := openTab(t, browser, serve(t, b))
	p.until(`document.querySelector('#empty-title').innerText === 'No room is watched yet'`)
	b.Condition(time.Now().Add(-90*time.Second), "hs", slog.LevelError, "homeserver not reachable")
	p.until(`/homeserver not reachable · for 1 min 3\d s/.test(document.querySelector('#banners').innerText)`)
	b.Condition(time.Now(), "hs", slog.LevelInfo, "")
	p.until(`!document.querySelector('#banners').innerText && document.querySelector('#lately').innerText.includes('over after 1m3')`)
}

func pageCrowd(t *testing.T, browser *pagetest.Browser) {
	b := NewBoard(nil)
	crowd(b)
	p := openTab(t, browser, serve(t, b))
	p.until(`document.querySelectorAll('tr.member').length === 88 && document.querySelectorAll('.plot .bar').length === 100`)
	labels := eval[[]float64](p, `[...document.querySelectorAll('.label')].map((n) => n.getBoundingClientRect().top + n.getBoundingClientRect().height / 2)`)
	bars := eval[[]float64](p, `[...document.querySelectorAll('.plot .bar .touch')].map((n) => n.getBoundingClientRect().top + n.getBoundingClientRect().height / 2).sort((a, b) => a - b)`)
	for i := range labels {
		if d := labels[i] - bars[i]; d < -1 || d > 1 {
			t.Fatalf("row %d: the label is %.1f px off its bar", i, d)
		}
	}
	if ms := eval[float64](p, `(() => { const l = document.querySelector('.session').parts.line, t = performance.now(); for (let i = 0; i < 20; i++) l.tick(Date.now() + i); return (performance.now() - t) / 20; })()`); ms > 16 {
		t.Errorf("one step of the timeline takes %.1f ms", ms)
	}
}

// pageConnection: what is not heard is not drawn.
func pageConnection(t *testing.T, browser *pagetest.Browser) {
	listen := func(addr string) (net.Listener, *Board, *http.Server) {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		b := NewBoard(nil)
		server := &http.Server{Handler: b.Handler(), ReadHeaderTimeout: time.Second}
		ended := make(chan struct{})
		go func() { defer close(ended); server.Serve(ln) }()
		t.Cleanup(func() { b.Close(); server.Close(); <-ended })
		return ln, b, server
	}
	ln, b, server := listen("127.0.0.1:0")
	showcase(b, time.Now())
	p := openTab(t, browser, "http://"+ln.Addr().String()+"/")
	p.MayComplain = true
	p.until(`document.querySelector('#link').innerText === 'live' && document.querySelectorAll('tr.member').length === 5`)
	b.Close()
	server.Close()
	p.until(`document.querySelector('#link').innerText.startsWith('the server ended') && document.body.classList.contains('stale')`)
	const edge = `document.querySelector('.plot .bar.left .body').getBoundingClientRect().left`
	p.until(`/ended [1-9] s ago/.test(document.querySelector('#link').innerText)`)
	clock, x := p.texts("#clock")[0], eval[float64](p, edge)
	p.until(`/ended [3-9] s ago/.test(document.querySelector('#link').innerText)`)
	if got, at := p.texts("#clock")[0], eval[float64](p, edge); got != clock || at != x {
		t.Errorf("without a connection the clock went from %s to %s, a bar from %f to %f", clock, got, x, at)
	}
	_, b, _ = listen(ln.Addr().String())
	newStage(b, "!other:x", "Other").tell(time.Now())
	p.until(`document.querySelector('#link').innerText === 'live' && !document.querySelector('#empty').hidden`)
}

func pageWithoutScript(t *testing.T, browser *pagetest.Browser) {
	ctx, cancel := chromedp.NewContext(browser.Ctx)
	defer cancel()
	url := serve(t, NewBoard(nil))
	text, err := chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) (string, error) {
		if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			return "", err
		}
		if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
			return "", err
		}
		return chromedp.Run(ctx, chromedp.Text("noscript"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "status.json") {
		t.Errorf("without script the page says %q", text)
	}
}
