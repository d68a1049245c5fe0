package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/arrange"
	"github.com/matrixrtc-go/matrixrtc/internal/eventfile"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// ofFiles prints the history that files tell. They are read once, as a stream,
// if the events of each room are in order; else a second time, and the rooms
// that are not are put in order.
func (c *HistoryCmd) ofFiles(ctx context.Context, a *app, plan *pastPlan) error {
	var inputs []*pastInput
	for _, name := range c.Source {
		in := &pastInput{name: name, most: plan.keep}
		if name == "-" {
			in.name, in.in = "stdin", a.in
		}
		inputs = append(inputs, in)
		defer in.discard()
	}
	out := c.output(a, plan, true)
	defer out.discard()
	pass := &pastPass{ctx: ctx, plan: plan, out: out, room: matrixrtc.RoomID(c.Room), check: matrixrtc.NewOrderCheck(&plan.history)}
	if err := pass.read(inputs); err != nil {
		return err
	}
	if misplaced := pass.check.Misplaced(); len(misplaced) > 0 {
		a.log.Info("the events are in no order of time; reading them again to put them in order", "rooms", len(misplaced))
		if err := out.restart(); err != nil {
			return err
		}
		pass = &pastPass{ctx: ctx, plan: plan, out: out, room: matrixrtc.RoomID(c.Room), sort: map[matrixrtc.RoomID]*arrange.Room{}}
		for _, id := range misplaced {
			pass.sort[id] = arrange.NewRoom(id)
		}
		if err := pass.read(inputs); err != nil {
			return err
		}
	}
	if pass.events == 0 && pass.problems > 0 {
		return &usageError{fmt.Errorf("%s holds no Matrix events: %w", pass.said[0].name, pass.said[0].err)}
	}
	err := out.close()
	pass.complain(a)
	return err
}

// pastPass is one reading of all inputs.
type pastPass struct {
	ctx  context.Context
	plan *pastPlan
	out  *pastOutput
	room matrixrtc.RoomID
	// check watches the order, the first time.
	check *matrixrtc.OrderCheck
	// sort holds the rooms that have to be put in order, the second time.
	sort map[matrixrtc.RoomID]*arrange.Room

	history  *matrixrtc.History
	events   int
	problems int
	said     []inputProblem // the first few
}

type inputProblem struct {
	name string
	err  error
}

// maxSaid is how many parts of the input that cannot be read are listed.
const maxSaid = 20

func (p *pastPass) read(inputs []*pastInput) error {
	p.history = matrixrtc.NewHistory(&p.plan.history)
	for _, in := range inputs {
		if err := p.input(in); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.sort)) {
		for r := range p.sort[id].Records() {
			if err := p.over(p.history.Add(r)); err != nil {
				return err
			}
			if p.events++; p.events%1024 == 0 && p.ctx.Err() != nil {
				return p.ctx.Err()
			}
		}
		delete(p.sort, id) // it may be large
	}
	return p.over(p.history.Close(p.plan.at))
}

func (p *pastPass) input(in *pastInput) error {
	r, closing, err := in.open(p.ctx)
	if err != nil {
		return err
	}
	defer closing()
	for e, err := range eventfile.Raw(r, &eventfile.Options{Room: p.room}) {
		if err != nil {
			if err = p.problem(in, err); err != nil {
				return err
			}
			continue
		}
		if p.events%256 == 0 && p.ctx.Err() != nil {
			return p.ctx.Err()
		}
		over, err := p.event(in, &e)
		if err != nil {
			e.Refuse(err)
			continue
		}
		p.events++
		if err := p.over(over); err != nil {
			return err
		}
		if in.kept != nil && in.kept.lost && p.check != nil && p.check.Broken() {
			return &usageError{fmt.Errorf("%s: %w", in.name, errReadOnce)}
		}
	}
	return p.ctx.Err()
}

// event folds an event in and returns what is over.
func (p *pastPass) event(in *pastInput, e *eventfile.RawEvent) ([]matrixrtc.PastSession, error) {
	if p.sort == nil && !p.plan.cutOff {
		over, err := p.history.AddJSON(e.JSON, e.Room)
		if err == nil {
			p.check.Look(p.history)
		}
		return over, err
	}
	r, err := matrixrtc.ParseRecord(e.JSON, e.Room, nil)
	switch {
	case err != nil, r.Kind == matrixrtc.RecordNone, p.plan.cutOff && r.At().After(p.plan.at):
		return nil, err
	case p.sort == nil:
		over := p.history.Add(&r)
		p.check.Look(p.history)
		return over, nil
	case r.Room == "":
		p.add(inputProblem{in.name, &eventfile.Problem{Line: e.Line, Event: r.Event, Text: "the event does not say its room: name it with --room"}})
		return nil, nil
	}
	if room := p.sort[r.Room]; room != nil {
		room.Add(&r)
		return nil, nil
	}
	return p.history.Add(&r), nil
}

// over passes on sessions. If they will have to come again it does not.
func (p *pastPass) over(list []matrixrtc.PastSession) error {
	if len(list) == 0 || p.check != nil && p.check.Broken() {
		return nil
	}
	for i := range list {
		if err := p.out.add(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// problem keeps what could not be read, and returns any other error.
func (p *pastPass) problem(in *pastInput, err error) error {
	var problem *eventfile.Problem
	if errors.As(err, &problem) {
		p.add(inputProblem{in.name, problem})
		return nil
	}
	if p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	return &usageError{fmt.Errorf("%s: %w", in.name, err)}
}

func (p *pastPass) add(problem inputProblem) {
	if p.problems++; len(p.said) < maxSaid {
		p.said = append(p.said, problem)
	}
}

// complain says what was left out.
func (p *pastPass) complain(a *app) {
	for _, s := range p.said {
		fmt.Fprintf(a.err, "matrixrtc: left out: %s: %s\n", report.CleanLine(s.name), plain(s.err))
	}
	if more := p.problems - len(p.said); more > 0 {
		fmt.Fprintf(a.err, "matrixrtc: left out: %d more\n", more)
	}
}
