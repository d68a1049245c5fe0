package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

func TestFileStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := client.NewFileStore(filepath.Join(dir, "state.json"))
	if got, err := s.Load(t.Context()); got != nil || err != nil {
		t.Errorf("nothing was kept: %q, %v", got, err)
	}
	var wg sync.WaitGroup
	for i := range 20 { // never a torn one
		wg.Go(func() {
			if err := s.Save(t.Context(), bytes.Repeat([]byte{byte('a' + i)}, 100_000)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := s.Load(t.Context())
	if err != nil || len(got) != 100_000 || len(slices.Compact(bytes.Clone(got))) != 1 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if info, err := os.Stat(s.Path()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// What a save has left that was killed goes with the next process; what
	// another one may be writing stays, as does what is not ours.
	for name, age := range map[string]time.Duration{".state.json.1.new": 2 * time.Hour, ".state.json.2.new": 0, ".other.json.3.new": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, time.Time{}, time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		names = append(names, f.Name())
	}
	if want := []string{".other.json.3.new", ".state.json.2.new", "state.json"}; !slices.Equal(names, want) {
		t.Errorf("there are %v, want %v", names, want)
	}
}

func TestFileStoreRefusesWhatIsNoFileOfOurs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := client.NewFileStore(dir).Load(t.Context()); err == nil {
		t.Error("loaded a directory")
	}
	if err := client.NewFileStore(dir).Save(t.Context(), nil); err == nil {
		t.Error("saved over a directory")
	}
	huge := filepath.Join(dir, "huge")
	if err := errors.Join(os.WriteFile(huge, nil, 0o600), os.Truncate(huge, 1<<40)); err != nil {
		t.Skipf("needs a file system with sparse files: use one for the temporary directory (%v)", err)
	}
	if _, err := client.NewFileStore(huge).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("huge: %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.WriteFile(open, nil, 0o600), os.Chmod(open, 0o622)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewFileStore(open).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "changed by others") {
		t.Errorf("a file that others can write: %v", err)
	}
}

// sealed is a document with a body of the test's own.
func sealed(version int, body []byte) []byte {
	return fmt.Appendf(nil, `{"version":%d,"sha256":"%x","body":%s}`, version, sha256.Sum256(body), body)
}

// bodyOf is the body of a document.
func bodyOf(t *testing.T, doc []byte) map[string]json.RawMessage {
	t.Helper()
	var e struct{ Body map[string]json.RawMessage }
	if err := json.Unmarshal(doc, &e); err != nil || len(e.Body) == 0 {
		t.Fatalf("%v in %s", err, doc)
	}
	return e.Body
}

// warnings counts the lines of a log.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, string(p))
	return len(p), nil
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.text
	w.text = nil
	return text
}

func (w *warnings) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// Whatever stands in the store: the rooms are right, and one warning says that
// it could not be used.
func TestStoreThatCannotBeUsed(t *testing.T) {
	bubble(t, "ann bob cat eve", func(t *testing.T, w *world) {
		reference, d := w.follow("eve", &disk{}, nil), &disk{}
		f := w.follow("F", d, nil)
		for _, s := range w.history()[:12] {
			s.do()
			time.Sleep(s.wait)
		}
		_ = f.Close(t.Context())
		doc := d.doc
		body := bodyOf(t, doc)
		with := func(key, value string) []byte {
			b := bodyOf(t, doc)
			b[key] = json.RawMessage(value)
			text, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			return sealed(1, text)
		}
		newer := strings.Replace(string(body["rooms"]), `"version":1`, `"version":2`, 1)
		flipped := bytes.Replace(doc, []byte("@bob:"), []byte("@mob:"), 1)
		cases := map[string][]byte{
			"text": []byte("never mind"), "null": []byte("null"), "empty": []byte("{}"),
			"one byte changed": flipped, "too new": sealed(2, []byte(`{"all":"different"}`)), "version 0": sealed(0, []byte(`{}`)),
			"another user": with("user_id", `"@mallory:hs.test"`), "another device": with("device_id", `"G"`),
			"no position": with("position", `""`), "a body that is none": sealed(1, []byte(`[7]`)), "rooms that are none": with("rooms", `7`),
			"a room that is too new": with("rooms", newer), "a room that is none": with("rooms", `[{"version":1}]`),
		}
		for i := 0; i < len(doc)-2; i += max(1, len(doc)/20) { // of 0 bytes is none at all
			cases[fmt.Sprintf("cut after %d bytes", i)] = doc[:i]
		}
		if bytes.Equal(flipped, doc) || newer == string(body["rooms"]) {
			t.Fatal("nothing was changed")
		}
		for name, text := range cases {
			var log warnings
			d := &disk{doc: text}
			f := w.follow("F", d, log.logger())
			if got, want := f.whole(true), reference.whole(true); got != want {
				t.Errorf("%s: computes\n%s\nwant\n%s", name, got, want)
			}
			_ = f.Close(t.Context())
			if got := log.take(); len(got) != 1 && len(text) > 0 || len(text) == 0 && len(got) > 0 {
				t.Errorf("%s: %d warnings: %q", name, len(got), got)
			} else if len(got) > 0 && strings.Contains(got[0], "@bob") {
				t.Errorf("%s: the log shows what is kept: %s", name, got[0])
			}
			if after := bodyOf(t, d.doc); len(after["rooms"]) < 100 {
				t.Errorf("%s: afterwards %s is kept", name, d.doc)
			}
		}
		// And where reading fails.
		var log warnings
		f = w.follow("F", &disk{fails: errDisk}, log.logger())
		if got, want := f.whole(true), reference.whole(true); got != want {
			t.Errorf("a broken disk: computes\n%s\nwant\n%s", got, want)
		}
		time.Sleep(time.Hour)
		_ = f.Close(t.Context())
		if got := log.take(); len(got) != 2 { // it can be neither read nor written
			t.Errorf("a broken disk: %d warnings: %q", len(got), got)
		}
		_ = reference.Close(t.Context())
	})
}

// Saving is cheap: now and then, when there is something to save.
func TestSavesAreFew(t *testing.T) {
	bubble(t, "ann bob eve", func(t *testing.T, w *world) {
		d := &disk{}
		f := w.follow("F", d, nil)
		ann := w.device("ann")
		say := func(n int) {
			t.Helper()
			key := "_" + string(rtctest.User("ann")) + "_D_m.call"
			content := fmt.Appendf(nil, `{"application":"m.call","call_id":"","device_id":"D","focus_active":{"type":"livekit"},"foci_preferred":[],"expires":%d}`, 10_000_000+n)
			if _, err := ann.Send(t.Context(), w.room, matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: content}); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 600 {
			say(n)
			time.Sleep(100 * time.Millisecond)
		}
		if d.count() < 5 || d.count() > 13 {
			t.Errorf("%d saves in a minute", d.count())
		}
		time.Sleep(time.Minute)
		saves := d.count()
		time.Sleep(24 * time.Hour)
		if d.count() != saves {
			t.Errorf("%d saves in a day in which nothing happened", d.count()-saves)
		}
		// A disk that is full for a while.
		d.fail(errDisk)
		say(1000)
		time.Sleep(10 * time.Minute)
		d.fail(nil)
		time.Sleep(2 * time.Minute)
		if !strings.Contains(string(d.document()), "10001000") {
			t.Error("what could not be kept was not kept later")
		}
		// Close keeps the rest.
		say(2000)
		synctest.Wait()
		_ = f.Close(t.Context())
		if !strings.Contains(string(d.document()), "10002000") {
			t.Error("Close did not keep the last event")
		}
	})
}

// slow takes its time between the batches of one answer.
type slow struct{ client.Homeserver }

func (s slow) Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		for b, err := range s.Homeserver.Sync(ctx, from, have) {
			if !yield(b, err) {
				return
			}
			select {
			case <-time.After(4 * time.Second):
			case <-ctx.Done():
			}
		}
	}
}

// all keeps every document.
type all struct {
	mu   sync.Mutex
	docs [][]byte
}

func (a *all) Load(context.Context) ([]byte, error) { return nil, nil }
func (a *all) Save(_ context.Context, doc []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.docs = append(a.docs, doc)
	return nil
}

// What is saved is never taken in the middle of an answer: whichever document a
// process finds, it comes to know what one knows that was never killed.
func TestSavesAreWhole(t *testing.T) {
	bubble(t, "ann bob cat eve", func(t *testing.T, w *world) {
		var rooms []matrixrtc.RoomID
		for range 3 {
			rooms = append(rooms, w.hs.CreateRoom(rtctest.User("ann"), rtctest.User("bob"), rtctest.User("cat"), rtctest.User("eve")))
		}
		kept := &all{}
		slowly := client.New(slow{w.hs.Device(rtctest.User("eve"), "F")}, &client.Options{Store: kept})
		reference := client.New(w.hs.Device(rtctest.User("eve"), "R"), nil)
		for i := range w.history() {
			for _, room := range rooms {
				w.room = room
				w.history()[i].do()
			}
			time.Sleep(w.history()[i].wait)
		}
		time.Sleep(5 * time.Minute)
		_ = slowly.Close(t.Context())
		if len(kept.docs) < 10 {
			t.Fatalf("only %d documents", len(kept.docs))
		}
		want := map[matrixrtc.RoomID]string{}
		for _, id := range rooms {
			room, err := reference.Open(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			want[id] = (&follower{room: room}).whole(false)
		}
		for i, doc := range kept.docs {
			for _, id := range rooms {
				w.room = id
				f := w.follow("F", &disk{doc: doc}, nil)
				if got := f.whole(false); got != want[id] {
					t.Fatalf("document %d of %d makes of %s\n%s\nwant\n%s", i, len(kept.docs), id, got, want[id])
				}
				_ = f.Close(t.Context())
			}
		}
		_ = reference.Close(t.Context())
	})
}

// Rooms that were joined and left while no process ran.
func TestRoomsChangeMeanwhile(t *testing.T) {
	bubble(t, "ann eve", func(t *testing.T, w *world) {
		out, d := w.hs.CreateRoom(rtctest.User("eve")), &disk{}
		_ = w.follow("F", d, nil).Close(t.Context())
		w.hs.Kick(out, rtctest.User("eve"))
		in := w.hs.CreateRoom(rtctest.User("eve"))
		f := w.follow("F", d, nil)
		if _, err := f.Open(t.Context(), in); err != nil {
			t.Errorf("a room that was joined: %v", err)
		}
		_, err := f.Open(t.Context(), out)
		wantErr(t, err, client.ErrNotJoined)
		_ = f.Close(t.Context())
		if got := string(bodyOf(t, d.doc)["rooms"]); strings.Contains(got, string(out)) || !strings.Contains(got, string(in)) {
			t.Errorf("kept is %s", got)
		}
	})
}

// While the homeserver does not answer, a room is not opened as it was before.
func TestOpenWaitsForTheHomeserver(t *testing.T) {
	bubble(t, "ann eve", func(t *testing.T, w *world) {
		d := &disk{}
		_ = w.follow("F", d, nil).Close(t.Context())
		w.hs.Down(true)
		c := client.New(w.hs.Device(rtctest.User("eve"), "F"), &client.Options{Store: &process{disk: d}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Open(ctx, w.room)
		wantErr(t, err, context.DeadlineExceeded)
		w.hs.Down(false)
		if _, err := c.Open(t.Context(), w.room); err != nil {
			t.Error(err)
		}
		_ = c.Close(t.Context())
	})
}

// FuzzStore: whatever a store holds, the room comes to be what the homeserver
// says that it is, as far as it is not in the store.
func FuzzStore(f *testing.F) {
	f.Add([]byte("{}"), []byte(nil))
	f.Add([]byte(nil), []byte(`{"user_id":"@eve:hs.test","device_id":"F","position":"x","rooms":[{"version":1,"room_id":"!r1:hs.test"}]}`))
	f.Add([]byte(nil), []byte(`{"user_id":"@eve:hs.test","device_id":"F","position":"{\"device\":\"F\",\"at\":{\"!r1:hs.test\":1}}","rooms":[{"version":1,"room_id":"!r1:hs.test","state":[{"type":"m.rtc.member","state_key":"x","event_id":"$1","sender":"@x:y","size":2,"content":"{}"}]}]}`))
	f.Fuzz(func(t *testing.T, doc, body []byte) {
		if len(body) > 0 {
			doc = sealed(1, body)
		}
		synctest.Test(t, func(t *testing.T) {
			hs := rtctest.NewHomeserver()
			room := hs.CreateRoom(rtctest.User("eve"))
			d := &disk{doc: doc}
			c := client.New(hs.Device(rtctest.User("eve"), "F"), &client.Options{Store: &process{disk: d}})
			if _, err := c.Open(t.Context(), room); err != nil {
				t.Error(err)
			}
			synctest.Wait() // until the answer has been told in full
			_ = c.Close(t.Context())
			if got := bodyOf(t, d.doc); !strings.Contains(string(got["rooms"]), string(room)) {
				t.Errorf("kept is %s", d.doc)
			}
		})
	})
}
