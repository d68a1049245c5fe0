package report

import (
	"fmt"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

func (d *RoomDocument) add(severity, format string, args ...any) {
	d.Remarks = append(d.Remarks, Remark{severity, fmt.Sprintf(format, args...)})
}

// remark says in words what follows.
func (d *RoomDocument) remark(r *rights.Room) {
	d.remarkJoin(r)
	l := r.Levels
	if len(d.Denied) > 0 {
		d.add(Warns, "the room's server ACL shuts out the servers of %s: what those state does not reach the others", users(d.Denied))
	}
	for _, s := range d.Slots {
		if !s.Open {
			d.add(Warns, "the slot %s is closed: memberships of the sticky dialects do not count in it", s.Slot)
		}
	}
	switch h := &d.Homeserver; {
	case h.Error != "":
		d.add(Warns, "not everything could be asked of the homeserver: %s", h.Error)
	case len(h.Offered) == 0:
		d.add(Warns, "the homeserver offers no transport: name one with join --transport, or have its operator offer one")
	}
	if off(d.Homeserver.DelayedEvents) {
		d.add(Notes, "the homeserver has no delayed events (MSC4140): a device that crashes stays listed until its time runs out")
	}
	switch {
	case len(l.Creators) > 0:
		d.add(Notes, "in rooms of version %s creators stand above all power levels: %s", r.Version, users(l.Creators))
	case !l.Stated:
		d.add(Notes, "the room has no power levels: everybody may send everything")
	case l.Strings:
		d.add(Notes, "some power levels are written as strings, which rooms before version 10 allow; they stay as they are")
	}
	if d.OwnedKeys {
		d.add(Notes, "this room version protects memberships: only their users, and those with more power, may overwrite them")
	} else {
		d.add(Notes, "whoever may state a membership in the dialect call may also overwrite those of others: this room version does not protect them")
	}
	if d.Power != nil && *d.Power < l.NotifyRoom {
		d.add(Notes, "announcing a call to the whole room takes level %d, or nobody is notified", l.NotifyRoom)
	}
}

// remarkJoin says who cannot join, and what could be done.
func (d *RoomDocument) remarkJoin(r *rights.Room) {
	f := r.Fix(r.Levels.UsersDefault)
	how := "; --fix-permissions would change that"
	if r.MayFix(d.User, f) != nil {
		how = "; " + whoCould(r, f)
	}
	call := d.Dialects[0]
	switch {
	case !call.CanJoin:
		d.add(Blocks, "%s takes level %d, and you have %s%s", call.Type, call.Level, power(d.Power), how)
	case call.Users < d.Joined:
		d.add(Warns, "%d of %d members cannot join calls as deployed clients join them: %s takes level %d%s",
			d.Joined-call.Users, d.Joined, call.Type, call.Level, how)
	}
	if !r.Encrypted {
		return
	}
	d.add(Notes, "the room is encrypted: memberships of the sticky dialects are sent as %s, and its level counts for them", matrixrtc.TypeRoomEncrypted)
	for _, s := range f.Skipped {
		d.add(Warns, "%s takes level %d, which keeps people from joining in the sticky dialects. --fix-permissions leaves it: %s", s.Type, s.Need, s.Why)
	}
	for _, c := range f.Changes {
		if c.Type == matrixrtc.TypeRoomEncrypted {
			d.add(Warns, "%s takes level %d, more than an ordinary message, which keeps people from joining in the sticky dialects%s", c.Type, c.From, how)
		}
	}
}

// whoCould names those who could make the changes.
func whoCould(r *rights.Room, f rights.Fix) string {
	able := r.Able(r.PowerToFix(f))
	if len(able) == 0 {
		return "nobody in the room has the power to change that"
	}
	return users(able) + " could change that"
}

// users names some users, and counts the rest.
func users(list []matrixrtc.UserID) string {
	var parts []string
	for _, u := range list[:min(len(list), maxNamed)] {
		parts = append(parts, string(u))
	}
	if n := len(list) - maxNamed; n > 0 {
		parts = append(parts, fmt.Sprintf("%d more", n))
	}
	return strings.Join(parts, ", ")
}

func power(n *int) string {
	if n == nil {
		return "more than any level"
	}
	return fmt.Sprint(*n)
}

func off(b *bool) bool { return b != nil && !*b }
