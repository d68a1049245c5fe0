package archive_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// kills is how many times TestKilled kills a back-fill: 200, and few where
// everything takes ten times as long (make test has it under the race detector,
// too).
func kills() int {
	if testing.Short() {
		return 6
	}
	return 200
}

// childEnv makes this test binary a back-fill: "URL of the homeserver, file".
const childEnv = "ARCHIVE_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		url, path, _ := strings.Cut(job, " ")
		if err := child(url, path); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child back-fills and says how many records are safe after each page.
func child(url, path string) error {
	a, err := archive.Open(path, &archive.Options{PageLimit: 4})
	if err != nil {
		return err
	}
	c, err := homeserver.Open(homeserver.Credentials{Homeserver: url, UserID: "@me:x", AccessToken: "token"}, nil)
	if err != nil {
		return err
	}
	ctx := context.Background()
	kept, err := a.Records(ctx, room)
	if err != nil {
		return err
	}
	fmt.Println("safe", len(kept))
	err = a.BackFill(ctx, c, room, func(p archive.Progress) {
		fmt.Println("safe", len(kept)+p.New)
		if p.Pages%16 == 0 { // sessions, too, are written at any time
			for _, e := range a.Sessions(ctx, room, archive.Filter{}) {
				if e != nil {
					fmt.Println("error:", e)
				}
			}
		}
	})
	if err != nil {
		return err
	}
	return a.Close()
}

// library is a homeserver over HTTP with the history of a scene.
func library(t *testing.T, events []matrixrtc.Event) string {
	t.Helper()
	raw := make([]json.RawMessage, len(events))
	for i := range events {
		b, err := json.Marshal(wire(&events[i]))
		if err != nil {
			t.Fatal(err)
		}
		raw[i] = b
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_matrix/client/v3/rooms/{room}/messages", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		at, limit := len(raw), 0
		if from := query.Get("from"); from != "" {
			at, _ = strconv.Atoi(from)
		}
		limit, _ = strconv.Atoi(query.Get("limit"))
		end := max(0, at-limit)
		page := slices.Clone(raw[end:at])
		slices.Reverse(page)
		answer := map[string]any{"start": strconv.Itoa(at), "chunk": page}
		if end > 0 {
			answer["end"] = strconv.Itoa(end)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestKilled kills back-fills with SIGKILL at random moments. Whatever was
// reported is there afterwards, and in the end the archive is the one that
// nobody disturbed.
func TestKilled(t *testing.T) {
	t.Parallel()
	scene := newScene(5, true).steps(1500)
	url := library(t, scene.events)
	now := scene.now
	want := truth(t, scene.events, now)
	r := rand.New(rand.NewPCG(6, 6))
	killed, finished, most := 0, 0, 0
	for path := ""; killed < kills() || path != ""; {
		if path == "" {
			path = filepath.Join(t.TempDir(), fmt.Sprintf("calls-%d.db", finished))
		}
		pages, more := -1, time.Duration(0) // it may finish
		if killed < kills() {
			pages, more = r.IntN(60), time.Duration(r.IntN(4000))*time.Microsecond
		}
		safe, ended := runChild(t, url, path, pages, more)
		if !ended {
			killed++
		}
		a := open(t, path, nil)
		kept, err := a.Records(t.Context(), room)
		if err != nil || len(kept) < safe {
			t.Fatalf("killed %d times: %d records reported as safe, %d are there (%v)", killed, safe, len(kept), err)
		}
		most = max(most, len(kept))
		if ended {
			if diff := sameRecords(t, a, scene.events); diff != "" {
				t.Fatalf("killed %d times: records (-one pass +archive):\n%s", killed, diff)
			}
			if diff := same(want, sessions(t, a, now)); diff != "" {
				t.Fatalf("killed %d times: sessions (-one pass +archive):\n%s", killed, diff)
			}
			path = ""
			finished++
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed %d times, %d archives finished", killed, finished)
	if finished == 0 || most != len(recordsOf(scene.events)) {
		t.Errorf("%d archives finished", finished)
	}
}

// runChild runs a back-fill, kills it some time after so many pages, and returns
// how many records it said were safe.
func runChild(t *testing.T, url, path string, pages int, more time.Duration) (safe int, ended bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+url+" "+path, "GOMAXPROCS=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	strike := func() { timer = time.AfterFunc(more, func() { _ = cmd.Process.Kill() }) }
	if pages == 0 { // while it opens the file, or makes it
		more *= 8
		strike()
	}
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		if strings.HasPrefix(lines.Text(), "error:") {
			t.Fatal(lines.Text())
		}
		_, _ = fmt.Sscanf(lines.Text(), "safe %d", &safe)
		if n == pages {
			strike()
		}
	}
	ended = cmd.Wait() == nil
	if timer != nil {
		timer.Stop()
	}
	return safe, ended
}

// TestTwoProcesses: another process is told in plain words, and harms nothing.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calls.db")
	scene := newScene(9, true).steps(50)
	a := open(t, path, nil)
	if err := a.Add(t.Context(), recordsOf(scene.events)...); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+library(t, scene.events)+" "+path)
	out, err := cmd.Output()
	if want := "error: the archive is in use: " + path; err == nil || !strings.HasPrefix(string(out), want) {
		t.Errorf("the other process says %q, %v; want %q", out, err, want)
	}
	backFill(t, a, &shelf{events: scene.events})
	if diff := sameRecords(t, a, scene.events); diff != "" {
		t.Error(diff)
	}
}

// TestPowerCut cuts the log of the file at random bytes, as when a machine
// loses power and the end of the file never reached the disk, or reached it as
// nonsense. What was reported before is there, and the next back-fill goes on.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	scene := newScene(7, true).steps(250)
	dir := t.TempDir()
	path := filepath.Join(dir, "calls.db")
	a := open(t, path, &archive.Options{PageLimit: 5})
	type report struct {
		size    int64 // of the log, when it was made
		records int
	}
	var reports []report
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	reports = append(reports, report{size(), 0})
	err := a.BackFill(t.Context(), &shelf{events: scene.events}, room, func(p archive.Progress) {
		reports = append(reports, report{size(), p.New})
	})
	if err != nil {
		t.Fatal(err)
	}
	main, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if last := reports[len(reports)-1]; int64(len(log)) != last.size || last.size < 100_000 {
		t.Fatalf("a log of %d bytes, after %d reports %d: it has been written back, and the test shows nothing", len(log), len(reports), last.size)
	}
	want := truth(t, scene.events, scene.now)
	r := rand.New(rand.NewPCG(8, 8))
	partly := 0
	cuts := 60
	if testing.Short() {
		cuts = 6
	}
	for n := range cuts {
		cut := int(reports[0].size) + r.IntN(len(log)-int(reports[0].size)+1)
		copied := filepath.Join(dir, fmt.Sprintf("cut-%d.db", n))
		cutCopy(t, copied, main, log[:cut], r)
		safe := 0
		for _, rep := range reports {
			if rep.size <= int64(cut) {
				safe = rep.records
			}
		}
		a, err := archive.Open(copied, &archive.Options{PageLimit: 5})
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		kept, err := a.Records(t.Context(), room)
		if err != nil || len(kept) < safe {
			t.Fatalf("cut at %d: %d records, %d were safe (%v)", cut, len(kept), safe, err)
		}
		if safe > 0 && len(kept) < len(recordsOf(scene.events)) {
			partly++
		}
		backFill(t, a, &shelf{events: scene.events})
		if diff := sameRecords(t, a, scene.events); diff != "" {
			t.Fatalf("cut at %d: (-one pass +archive):\n%s", cut, diff)
		}
		if diff := same(want, sessions(t, a, scene.now)); diff != "" {
			t.Fatalf("cut at %d: sessions (-one pass +archive):\n%s", cut, diff)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if partly < cuts/2 {
		t.Errorf("only %d cuts were in the middle", partly)
	}
}

// cutCopy writes a file and the beginning of its log, perhaps with nonsense
// behind it.
func cutCopy(t *testing.T, path string, main, log []byte, r *rand.Rand) {
	t.Helper()
	tail := make([]byte, r.IntN(2)*r.IntN(10_000))
	for i := range tail {
		tail[i] = byte(r.Uint32())
	}
	if err := os.WriteFile(path, main, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-wal", append(slices.Clone(log), tail...), 0o600); err != nil {
		t.Fatal(err)
	}
}
