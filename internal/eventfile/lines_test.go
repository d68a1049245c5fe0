package eventfile

import (
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

// What is borrowed is not kept: the rooms are the same.
func TestBorrow(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../testdata/captures/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// The second room comes in the bytes of the first.
		text := string(data)
		for _, in := range []string{text, text + strings.ReplaceAll(text, `"room_id":"!`, `"room_id":"!other`)} {
			var last time.Time
			for b, err := range Read(strings.NewReader(in), nil) {
				if err == nil && b.Events[0].Origin.After(last) {
					last = b.Events[0].Origin
				}
			}
			snapshots := func(opts *Options) (out []matrixrtc.Snapshot) {
				f := NewFold(last, nil)
				for b, err := range Read(strings.NewReader(in), opts) {
					if err := f.Add(b, err); err != nil {
						t.Fatal(err)
					}
				}
				rooms, _ := f.End()
				for _, r := range rooms {
					out = append(out, r.Snapshot())
				}
				return out
			}
			kept, borrowed := snapshots(nil), snapshots(&Options{Borrow: true})
			if len(kept) == 0 {
				t.Fatalf("%s has no room", path)
			}
			if diff := cmp.Diff(kept, borrowed); diff != "" {
				t.Errorf("%s: kept(-) borrowed(+):\n%s", path, diff)
			}
		}
	}
}

// Lines of every length come out, also those that the buffer cannot hold, and
// the number of the line is right behind them.
func TestReadLongLines(t *testing.T) {
	t.Parallel()
	var in strings.Builder
	var want []string
	for i, n := range []int{10, bufferSize - 1000, 10, bufferSize, 3 * bufferSize, 10, matrixrtc.MaxEventSize - 1000, matrixrtc.MaxEventSize, 10} {
		id := fmt.Sprintf("$%d", i)
		in.WriteString(strings.Replace(event(id, "!r"), `"s":"`, `"s":"`+strings.Repeat("x", n), 1) + " ,\r\n")
		if n < matrixrtc.MaxEventSize {
			want = append(want, id+" !r")
		} else {
			want = append(want, fmt.Sprintf("line %d: larger than 1 MiB", i+1))
		}
	}
	in.WriteString("?\n")
	want = append(want, "line 10: this is not a JSON object: the line was left out")
	for _, opts := range []*Options{nil, {Borrow: true}} {
		for _, r := range []io.Reader{strings.NewReader(in.String()), iotest.HalfReader(strings.NewReader(in.String())), iotest.DataErrReader(strings.NewReader(in.String()))} {
			got, err := read(t, r, opts)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	}
}

// An event comes out as soon as its line has arrived: the input need not end.
func TestReadAsItArrives(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	defer r.Close()
	next, stop := iter.Pull2(Read(r, &Options{Borrow: true}))
	defer stop()
	for i, in := range []string{event("$0", "!r") + "\n", "[" + event("$1", "!r"), ",\n" + event("$2", "!r") + ",\n"} {
		go w.Write([]byte(in)) // ends when the pipe is read or closed
		b, err, ok := next()
		if !ok || err != nil || string(b.Events[0].ID) != fmt.Sprintf("$%d", i) {
			t.Fatalf("%d: %v, %v, %v", i, b.Events, err, ok)
		}
	}
}

// lines is a file of a call with so many members.
func lines(members int) string {
	var b strings.Builder
	for i := range members {
		user := fmt.Sprintf("@user%d.name:example.org", i)
		fmt.Fprintf(&b, `{"type":"m.room.member","room_id":"!r","sender":%q,"state_key":%q,"event_id":"$p%d","origin_server_ts":1000,`+
			`"content":{"membership":"join","displayname":"user"},"unsigned":{"age":1234}}`+"\n", user, user, i)
		b.WriteString(member(user, "DEVICE", fmt.Sprintf("$m%d", i), int64(1000+i), 14_400_000) + "\n")
	}
	return b.String()
}

func BenchmarkRead(b *testing.B) {
	in := lines(10_000)
	for _, borrow := range []bool{false, true} {
		b.Run(fmt.Sprintf("borrow=%v", borrow), func(b *testing.B) {
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for _, err := range Read(strings.NewReader(in), &Options{Borrow: borrow}) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != 20_000 {
					b.Fatal(n)
				}
			}
		})
	}
}

// BenchmarkFold is what `sessions` does with a file before it says anything.
func BenchmarkFold(b *testing.B) {
	in := lines(10_000)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		f := NewFold(time.UnixMilli(20_000), &FoldOptions{CutOff: true})
		for batch, err := range Read(strings.NewReader(in), &Options{Borrow: true}) {
			if err := f.Add(batch, err); err != nil {
				b.Fatal(err)
			}
		}
		if rooms, _ := f.End(); rooms[0].Session(matrixrtc.RoomCall).Devices() != 10_000 {
			b.Fatal("members are missing")
		}
	}
}

// FuzzReadAnyWay: what comes out does not hang on how the input arrives. Byte
// by byte no line is ever there as a whole, so this compares the fast way with
// the slow one.
func FuzzReadAnyWay(f *testing.F) {
	good := event("$1", "!r")
	for _, s := range []string{"", good, good + "\n" + good, "[" + good + ",\n" + good + "\n]", good + good + "\n", " " + good + " ,\r\n?\n", good[:50] + "\n" + good,
		"\xef\xbb\xbf" + good + "\n", `{"\u0074ype":"x"}` + "\n", "{}\n{", good + "]\n" + good + "\n", "{\n" + good + "\n}\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := read(t, iotest.OneByteReader(strings.NewReader(s)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, borrow := range []bool{false, true} {
			got, err := read(t, strings.NewReader(s), &Options{Borrow: borrow})
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v: byte by byte(-) at once(+):\n%s", err, diff)
			}
		}
	})
}
