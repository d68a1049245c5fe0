package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// pastRooms are the rooms that were asked for, with the names that people gave
// them.
type pastRooms struct {
	ids   []matrixrtc.RoomID
	names map[matrixrtc.RoomID]string
}

func (r *pastRooms) add(id matrixrtc.RoomID, name string) {
	if _, known := r.names[id]; known {
		return
	}
	r.ids = append(r.ids, id)
	r.names[id] = ""
	if name != string(id) {
		r.names[id] = name
	}
}

// ofRooms prints the history of rooms: it reads what is new into the archive,
// and shows what the archive knows.
func (c *HistoryCmd) ofRooms(ctx context.Context, a *app, plan *pastPlan) (err error) {
	path, err := c.archivePath(a)
	if err != nil {
		return err
	}
	var hs *homeserver.Client
	var me matrixrtc.UserID
	if c.Offline {
		if _, err := os.Stat(path); err != nil {
			return &usageError{fmt.Errorf("%w; nothing is kept yet: without --offline the homeserver is asked", err)}
		}
		me = c.stored(a)
	} else {
		if hs, err = c.open(ctx, a); err != nil {
			return err
		}
		defer hs.Close()
		me, _ = hs.Self()
	}
	if plan.me == "" {
		plan.me = me
	}
	rooms, err := c.rooms(ctx, hs)
	if err != nil {
		return orOffline(err)
	}
	kept, err := archive.Open(path, &archive.Options{Logger: a.log, History: plan.history})
	if err != nil {
		return archiveError(err)
	}
	defer func() {
		if e := kept.Close(); err == nil {
			err = e
		}
	}()
	if !c.Offline {
		if err := backFill(ctx, a, kept, hs, rooms); err != nil {
			return err
		}
	}
	// Until now goes what is ongoing, and reading has taken its time.
	plan.at = time.Now()
	plan.filter.Now = plan.at
	if len(rooms.ids) == 0 {
		if rooms.ids, err = kept.Rooms(ctx); err != nil {
			return err
		}
	}
	return c.show(ctx, a, plan, kept, rooms)
}

// stored is the user of the account that is meant, without asking anybody; "" if
// that is not known: then nobody's missed calls are told.
func (f *accountFlags) stored(a *app) matrixrtc.UserID {
	dir, err := a.accountDir()
	if err != nil {
		return ""
	}
	name, err := dir.choose(f.Account)
	if err != nil {
		return ""
	}
	creds, err := dir.store(name).Load()
	if err != nil {
		return ""
	}
	return creds.UserID
}

// rooms finds out which rooms are meant.
func (c *HistoryCmd) rooms(ctx context.Context, hs *homeserver.Client) (*pastRooms, error) {
	rooms := &pastRooms{names: map[matrixrtc.RoomID]string{}}
	for _, name := range c.Source {
		id := matrixrtc.RoomID(name)
		switch {
		case c.Offline && !strings.HasPrefix(name, "!"):
			return nil, &usageError{fmt.Errorf("%s: with --offline nobody can be asked which room that is: give its id, like !abc:example.org", name)}
		case !c.Offline && id[0] == '#':
			// Of a room by its id one may see the past although one has left.
			var err error
			if id, err = hs.Resolve(ctx, name); err != nil {
				return nil, err
			}
		}
		rooms.add(id, name)
	}
	return rooms, nil
}

// show prints what is kept of the rooms.
func (c *HistoryCmd) show(ctx context.Context, a *app, plan *pastPlan, kept *archive.Archive, rooms *pastRooms) error {
	out := c.output(a, plan, false)
	out.about.RoomName = func(id matrixrtc.RoomID) string { return rooms.names[id] }
	if len(rooms.ids) == 1 {
		name := string(rooms.ids[0])
		if alias := rooms.names[rooms.ids[0]]; alias != "" {
			name = alias
		}
		out.about.Title = "Calls in " + report.CleanLine(name)
	}
	out.begin()
	f := &plan.filter
	for _, id := range rooms.ids {
		for s, err := range kept.Sessions(ctx, id, archive.Filter{Now: f.Now, Since: f.Since, Until: f.Until}) {
			if err != nil {
				return archiveError(err)
			}
			if err := out.add(&s); err != nil {
				return err
			}
		}
	}
	return out.close()
}

// orOffline says what can be done where nobody answers.
func orOffline(err error) error {
	if exitCode(err) == exitUnreachable {
		return fmt.Errorf("%w (--offline shows what is kept)", err)
	}
	return err
}

// archivePath is the file in which the past of rooms is kept.
func (c *HistoryCmd) archivePath(a *app) (string, error) {
	if c.Archive != "" {
		return c.Archive, nil
	}
	dir, err := a.dataDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the past of rooms: %w; name a file with --archive or MATRIXRTC_ARCHIVE", err)
	}
	return filepath.Join(dir, "matrixrtc", "history.db"), nil
}

// dataDir is where programs keep the data of a user.
func (a *app) dataDir() (string, error) {
	if dir := a.env.get("XDG_DATA_HOME"); filepath.IsAbs(dir) { // others are to be ignored (XDG base directories)
		return dir, nil
	}
	home := a.env.get("HOME")
	switch runtime.GOOS {
	case "windows":
		if dir := a.env.get("LocalAppData"); dir != "" {
			return dir, nil
		}
		return "", errors.New("%LocalAppData% is not set")
	case "darwin", "ios":
		if home != "" {
			return filepath.Join(home, "Library", "Application Support"), nil
		}
	default:
		if home != "" {
			return filepath.Join(home, ".local", "share"), nil
		}
	}
	return "", errors.New("$HOME is not set")
}

// archiveError says which exit code an error of the archive means.
func archiveError(err error) error {
	if isAny(err, archive.ErrNewer, archive.ErrNotArchive, archive.ErrCorrupt, archive.ErrUnwritable) {
		return &usageError{err}
	}
	return err
}
