//go:build linux

package chaos

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// wallClock sets the clock of a single process, as an administrator's date -s
// sets that of a machine: from one moment to the next time.Now tells another
// time of day, while the monotonic clock, and with it every timer, goes on
// untouched.
//
// The kernel has no time of day per process (its time namespaces shift the
// monotonic clocks only). But a process reads its clocks in the vDSO, a page of
// code that the kernel maps into each process, and a page written to through
// /proc/PID/mem becomes the process's own. So clock_gettime there gets a jump to
// a few instructions that ask the kernel and add a number, which may be changed
// from outside.
type wallClock struct {
	mem *os.File
	add int64 // where the number is
}

var errNoClock = errors.New("needs Linux on amd64, with a vDSO that can be written to")

// Offsets in the instructions below.
const (
	clockNumber = 24
	clockSize   = 32
)

// clockCode is clock_gettime(edi: clock, rsi: *timespec) in the C calling
// convention:
//
//	mov eax, 228; syscall; test edi, edi; jne done
//	mov rcx, [rip+number]; add [rsi], rcx; done: ret
//	nop; nop; number: 8 bytes
var clockCode = [clockSize]byte{
	0xb8, 228, 0, 0, 0, 0x0f, 0x05, 0x85, 0xff, 0x75, 0x0a,
	0x48, 0x8b, 0x0d, clockNumber - 18, 0, 0, 0, 0x48, 0x01, 0x0e, 0xc3, 0x90, 0x90,
}

// clockOf takes hold of the clock of a child process. Close lets go of it; the
// process keeps it.
func clockOf(pid int) (*wallClock, error) {
	if runtime.GOARCH != "amd64" {
		return nil, errNoClock
	}
	base, size, err := findVDSO(pid)
	if err != nil {
		return nil, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(errNoClock, err)
	}
	c := &wallClock{mem: mem}
	if err := c.install(base, size); err != nil {
		_ = mem.Close()
		return nil, errors.Join(errNoClock, err)
	}
	return c, nil
}

func findVDSO(pid int) (base, size int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var end int64
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &base, &end); err != nil {
			return 0, 0, err
		}
		return base, end - base, nil
	}
	return 0, 0, errNoClock
}

// install puts the code where gettimeofday is, which Go does not call, and the
// jump where clock_gettime begins: a thread that is in the middle of it goes on
// undisturbed.
func (c *wallClock) install(base, size int64) error {
	image := make([]byte, size)
	if _, err := c.mem.ReadAt(image, base); err != nil {
		return err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return err
	}
	at := map[string]elf.Symbol{}
	for _, s := range symbols {
		at[s.Name] = s
	}
	room, entry := at["__vdso_gettimeofday"], at["__vdso_clock_gettime"]
	if room.Size < clockSize || entry.Size < 5 {
		return errors.New("the vDSO is not as expected")
	}
	if _, err := c.mem.WriteAt(clockCode[:], base+int64(room.Value)); err != nil {
		return err
	}
	jump := []byte{0xe9, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(jump[1:], uint32(int64(room.Value)-int64(entry.Value)-5))
	_, err = c.mem.WriteAt(jump, base+int64(entry.Value))
	c.add = base + int64(room.Value) + clockNumber
	return err
}

// set has the process's time of day be ahead of the machine's by that much, in
// whole seconds.
func (c *wallClock) set(ahead time.Duration) error {
	number := make([]byte, 8)
	binary.LittleEndian.PutUint64(number, uint64(int64(ahead/time.Second)))
	_, err := c.mem.WriteAt(number, c.add)
	return err
}

func (c *wallClock) close() { _ = c.mem.Close() }

// TestWallClock: the clock of a process can be set, and its timers do not care.
func TestWallClock(t *testing.T) {
	needNamespaces(t)
	p, err := startPart(&wire{}, &host{}, "member", "somebody", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	var before, after clocks
	if err := p.do(t.Context(), "clocks", nil, &before); err != nil {
		t.Fatal(err)
	}
	c, err := clockOf(p.cmd.Process.Pid)
	if err != nil {
		t.Skip(err)
	}
	defer c.close()
	if err := c.set(-time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := p.do(t.Context(), "clocks", nil, &after); err != nil {
		t.Fatal(err)
	}
	wall, monotonic := after.Wall.Sub(before.Wall), after.Monotonic-before.Monotonic
	if off := wall - monotonic + time.Hour; off.Abs() > 100*time.Millisecond {
		t.Errorf("the time of day moved by %v while %v passed", wall, monotonic)
	}
}
