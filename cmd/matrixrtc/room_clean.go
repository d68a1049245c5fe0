package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// cleaning is one `room --clean`.
type cleaning struct {
	*RoomCmd
	a    *app
	hs   *homeserver.Client
	id   matrixrtc.RoomID
	self matrixrtc.UserID
	from clean.Source // nil: no SFU is asked
	show io.Writer    // for people; nil: nobody reads
	doc  *report.Suspects
}

// chosen is a member that is to be ended.
type chosen struct {
	suspect.Verdict
	plan suspect.Plan
	doc  *report.Suspect
}

// clean lists the memberships of a room, says which are dead, asks, and ends them.
func (c *RoomCmd) clean(ctx context.Context, a *app, hs *homeserver.Client, id matrixrtc.RoomID) error {
	from, err := c.source(ctx, a, hs)
	if err != nil {
		return err
	}
	k := &cleaning{RoomCmd: c, a: a, hs: hs, id: id, from: from, show: a.out}
	k.self, _ = hs.Self()
	if c.JSON { // stdout is for the document
		k.show = nil
		if a.canAsk() && !c.Yes {
			k.show = a.err
		}
	}
	begun := time.Now()
	list, err := k.list(ctx)
	if err != nil {
		return err
	}
	k.doc.DryRun = !c.Yes && !a.canAsk()
	if k.show != nil {
		if err := report.WriteSuspects(k.show, k.doc, a.style); err != nil {
			return err
		}
	}
	err = k.end(ctx, list, begun)
	if c.JSON {
		err = errors.Join(err, c.print(a, k.doc, nil))
	}
	return err
}

// list judges all memberships of the room, writes them into the document, and
// returns those that are to be ended.
func (k *cleaning) list(ctx context.Context) ([]chosen, error) {
	room, verdicts, sfu, err := k.look(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	k.doc = &report.Suspects{Version: report.Version, At: now.UnixMilli(), Room: k.id, User: k.self, SFU: []string{}, Members: []report.Suspect{}}
	if sfu != nil {
		k.doc.SFU = append(k.doc.SFU, sfu.Services...)
	}
	sessions := map[matrixrtc.SessionKey]*matrixrtc.Session{}
	for _, s := range room.Sessions(now) {
		sessions[s.Key] = s
	}
	rights := room.Rights()
	plans := make([]suspect.Plan, len(verdicts))
	for i := range verdicts {
		v := &verdicts[i]
		var session *matrixrtc.Session
		if v.Counted {
			session = sessions[v.SessionKey()]
		}
		m := report.OfVerdict(v, session, k.self, now)
		if plans[i], err = v.Plan(k.self, rights); err == nil {
			m.CanEnd, m.Chosen = true, k.chooses(v)
		} else {
			m.CannotEnd = err.Error()
		}
		k.doc.Members = append(k.doc.Members, m)
	}
	if err := k.checkMembers(); err != nil {
		return nil, err
	}
	var list []chosen
	for i := range verdicts {
		if k.doc.Members[i].Chosen {
			list = append(list, chosen{verdicts[i], plans[i], &k.doc.Members[i]})
		}
	}
	k.doc.Chosen = len(list)
	return list, nil
}

// look reads the room, and asks the SFU.
func (k *cleaning) look(ctx context.Context) (*suspect.Room, []suspect.Verdict, *suspect.SFU, error) {
	room, err := lookAt(ctx, k.a, k.hs, k.id)
	if err != nil {
		return nil, nil, nil, err
	}
	var sfu *suspect.SFU
	if k.from != nil {
		if sfu, err = clean.Ask(ctx, k.from, room.Entries(time.Now())); err != nil {
			return nil, nil, nil, err
		}
	}
	return room, room.Judge(sfu, time.Now(), nil), sfu, nil
}

// chooses says whether a member is to be ended, if that can be done.
func (k *cleaning) chooses(v *suspect.Verdict) bool {
	least := suspect.Likely
	if k.Uncertain {
		least = suspect.Possible
	}
	if len(k.Member) == 0 {
		return v.Certainty >= least
	}
	return slices.Contains(k.Member, nameOf(v)) && (v.User == k.self || v.Certainty >= least)
}

// nameOf names a member as --member does: the device, or the member id where none
// is known.
func nameOf(v *suspect.Verdict) string {
	if v.Device != "" {
		return string(v.User) + "/" + string(v.Device)
	}
	return string(v.User) + "/" + string(v.Membership.Member)
}

// checkMembers finds those that --member names and that will not be ended.
func (k *cleaning) checkMembers() error {
	for _, name := range k.Member {
		named := func(m report.Suspect) bool {
			return name == string(m.User)+"/"+string(m.Device) || name == string(m.User)+"/"+string(m.Member.Member)
		}
		if !slices.ContainsFunc(k.doc.Members, named) {
			return &usageError{fmt.Errorf("--member %q: no such membership is stated in the room", name)}
		}
		for _, m := range k.doc.Members {
			switch {
			case !named(m) || m.Chosen:
			case !m.CanEnd:
				return &reworded{homeserver.ErrForbidden, fmt.Sprintf("%s %s", name, m.CannotEnd)}
			default:
				return fmt.Errorf("%s is somebody else's, and not dead for sure (%s): it is not ended", name, m.Why)
			}
		}
	}
	return nil
}

// end ends what was chosen, after asking.
func (k *cleaning) end(ctx context.Context, list []chosen, begun time.Time) error {
	if len(list) == 0 {
		k.notMine()
		return nil
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].doc.Named()
	}
	switch {
	case k.doc.DryRun:
		fmt.Fprintf(k.a.err, "matrixrtc: nothing was ended, because nobody can be asked here: --yes ends %s\n", strings.Join(names, ", "))
		return nil
	case !k.Yes:
		if err := k.a.confirm(ctx, fmt.Sprintf("\nEnd %s?", strings.Join(names, ", "))); err != nil {
			return err
		}
	}
	still, err := k.again(ctx, list, begun)
	if err != nil {
		return err
	}
	var failed error
	for i := range list {
		m := list[i].doc
		switch {
		case !still[i]:
			m.Error = "it is not dead any more, or has ended by itself"
		default:
			if err := clean.Carry(ctx, k.hs, k.id, list[i].plan); err != nil {
				m.Error, failed = err.Error(), err
				break
			}
			m.Ended = true
			k.doc.Ended++
		}
		if k.show != nil && m.Ended {
			fmt.Fprintf(k.show, "Ended %s.\n", m.Named())
		} else if k.show != nil {
			fmt.Fprintf(k.show, "Did not end %s: %s.\n", m.Named(), report.CleanLine(m.Error))
		}
	}
	k.notMine()
	return failed
}

// again looks a second time, at least --grace after the first: whom the SFU misses
// twice was not about to reconnect. It says which are to be ended all the same.
func (k *cleaning) again(ctx context.Context, list []chosen, begun time.Time) ([]bool, error) {
	missed := slices.ContainsFunc(list, func(c chosen) bool { return slices.Contains(c.Reasons, suspect.NoParticipant) })
	if wait := time.Until(begun.Add(k.Grace)); missed && wait > 0 {
		k.a.log.Info("looking at the SFU once more", "in", wait)
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
	_, verdicts, _, err := k.look(ctx)
	if err != nil {
		return nil, err
	}
	still := make([]bool, len(list))
	for i := range list {
		still[i] = slices.ContainsFunc(verdicts, func(v suspect.Verdict) bool {
			return v.Event == list[i].Event && v.MemberKey() == list[i].MemberKey() && k.chooses(&v)
		})
	}
	return still, nil
}

// notMine says that dead members stay because this account may not end them.
func (k *cleaning) notMine() {
	n := 0
	for _, m := range k.doc.Members {
		if !m.CanEnd && (m.Certainty == suspect.Likely.String() || m.Certainty == suspect.Certain.String()) {
			n++
		}
	}
	if n > 0 && !k.doc.DryRun {
		fmt.Fprintf(k.a.err, "matrixrtc: dead memberships that this account may not end: %d\n", n)
	}
}
