//go:build linux

package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// The steps that break something. None waits for what comes of it.

// kills kills a participant's process.
func kills(name string) step {
	return step{"kill -9 " + name, func(r *run) error {
		r.actors[name].kill()
		return nil
	}}
}

// cut loses all packets between participants and the homeserver; media is not
// touched.
func cut(who ...string) step {
	return step{strings.Join(who, ", ") + " are cut off from the homeserver", func(r *run) error {
		for _, name := range who {
			if err := r.stack.wire.lose(r.ctx, r.fault("cut "+name), r.actors[name].host, r.stack.wire.host(""), 100); err != nil {
				return err
			}
			r.actors[name].silence()
		}
		return nil
	}}
}

// joinUp ends cut.
func joinUp(who ...string) step {
	return step{strings.Join(who, ", ") + " reach the homeserver again", func(r *run) error {
		for _, name := range who {
			if err := r.stack.wire.mend(r.ctx, r.fault("cut "+name)); err != nil {
				return err
			}
		}
		return nil
	}}
}

// cutMedia loses all packets between a participant and the site: media,
// signalling and tokens. The homeserver is not touched.
func cutMedia(name string) step {
	return step{name + " is cut off from the SFU", func(r *run) error {
		return r.stack.wire.lose(r.ctx, r.fault("cut media "+name), r.actors[name].host, r.stack.siteHost, 100)
	}}
}

// mediaBack ends cutMedia.
func mediaBack(name string) step {
	return step{name + " reaches the SFU again", func(r *run) error {
		return r.stack.wire.mend(r.ctx, r.fault("cut media "+name))
	}}
}

// fault names a fault of this run.
func (r *run) fault(what string) string { return fmt.Sprintf("%s in %s", what, r.room) }

// rain loses a part of all packets between participants and everybody.
func rain(percent int, who ...string) step {
	return step{fmt.Sprintf("%d %% of the packets of %s are lost", percent, strings.Join(who, ", ")), func(r *run) error {
		for _, name := range who {
			for _, place := range []*host{r.stack.wire.host(""), r.stack.siteHost} {
				if err := r.stack.wire.lose(r.ctx, r.fault("rain on "+name+" from "+place.name), r.actors[name].host, place, percent); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}

// dry ends rain.
func dry(who ...string) step {
	return step{"no packet is lost any more", func(r *run) error {
		for _, name := range who {
			for _, place := range []*host{r.stack.wire.host(""), r.stack.siteHost} {
				if err := r.stack.wire.mend(r.ctx, r.fault("rain on "+name+" from "+place.name)); err != nil {
					return err
				}
			}
		}
		return nil
	}}
}

// isolateHomeserver loses all packets between the homeserver and whoever speaks
// to it: the tap and the site.
func isolateHomeserver() step {
	return step{"the homeserver is cut off from everybody", func(r *run) error {
		err := r.stack.wire.lose(r.ctx, r.fault("outage"), r.stack.hsHost, r.stack.wire.host(""), 100)
		return errors.Join(err, r.stack.wire.lose(r.ctx, r.fault("outage of the site"), r.stack.hsHost, r.stack.siteHost, 100))
	}}
}

func homeserverBack() step {
	return step{"the homeserver is reached again", func(r *run) error {
		err := r.stack.wire.mend(r.ctx, r.fault("outage"))
		return errors.Join(err, r.stack.wire.mend(r.ctx, r.fault("outage of the site")))
	}}
}

// killHomeserver kills it as a crash would; its data stays.
func killHomeserver() step {
	return step{"kill -9 the homeserver", func(r *run) error { return r.stack.hs.do(r.ctx, "kill", nil, nil) }}
}

// restartHomeserver starts it again, stops it before if it runs.
func restartHomeserver() step {
	return step{"restart the homeserver", func(r *run) error { return r.stack.hs.do(r.ctx, "restart", nil, nil) }}
}

// killSite kills the site with its SFU.
func killSite() step {
	return step{"kill -9 the site", func(r *run) error {
		r.stack.sitePart().kill()
		return nil
	}}
}

func startSite() step {
	return step{"start the site again", func(r *run) error { return r.stack.startSite(r.ctx) }}
}

// forbid takes the right to state memberships from everybody.
func forbid() step {
	return step{"the room's power levels forbid memberships", func(r *run) error {
		var content map[string]any
		if err := r.stack.state(r.ctx, r.owner.Credentials(), r.room, matrixrtc.TypeRoomPowerLevels, &content); err != nil {
			return err
		}
		events, _ := content["events"].(map[string]any)
		for typ := range homeserver.MemberLevels() {
			events[typ] = 50
		}
		raw, err := json.Marshal(content)
		if err != nil {
			return err
		}
		_, err = r.owner.Send(r.ctx, r.room, matrixrtc.Outgoing{Type: matrixrtc.TypeRoomPowerLevels, StateKey: new(string), Content: raw})
		return err
	}}
}

// kick has the owner of the room throw somebody out.
func kick(name string) step {
	return step{name + " is kicked", func(r *run) error {
		delete(r.expected, name)
		return r.owner.Kick(r.ctx, r.room, r.actors[name].creds.UserID, "chaos")
	}}
}

// setClock sets the time of day of a participant's process.
func setClock(name string, ahead time.Duration) step {
	return step{fmt.Sprintf("the clock of %s is set by %v", name, ahead), func(r *run) error {
		c, err := clockOf(r.actors[name].process().cmd.Process.Pid)
		if errors.Is(err, errNoClock) {
			r.t.Skip(err)
		} else if err != nil {
			return err
		}
		defer c.close()
		return c.set(ahead)
	}}
}

// leak schedules a participant's leave once more, so that nobody knows of it: as
// what an earlier life has left, whose retiring failed.
func leak(name string, after time.Duration) step {
	return step{fmt.Sprintf("an old leave of %s is due in %v", name, after), func(r *run) error {
		a := r.actors[name]
		for _, e := range a.asked() {
			if p, _ := e.purpose(); p == arms && e.answered() {
				return r.again(a, e, after)
			}
		}
		return fmt.Errorf("%s has armed nothing", name)
	}}
}

// again makes a participant's request to schedule an event once more, with
// another delay.
func (r *run) again(a *actor, e *exchange, after time.Duration) error {
	ms := strconv.FormatInt(after.Milliseconds(), 10)
	query, body := url.Values{}, e.asked
	for key, values := range e.query {
		query[key] = values
	}
	path := e.path
	if query.Has("org.matrix.msc4140.delay") {
		query.Set("org.matrix.msc4140.delay", ms)
	} else {
		var content map[string]json.RawMessage
		if err := json.Unmarshal(body, &content); err != nil {
			return err
		}
		content["delay_ms"] = json.RawMessage(ms)
		body, _ = json.Marshal(content)
	}
	if !strings.Contains(path, "/state/") { // then it ends in a transaction id
		path += "-leak"
	}
	var answer json.RawMessage
	if err := r.stack.ask(r.ctx, a.creds, http.MethodPut, path, query, body, &answer); err != nil {
		return fmt.Errorf("schedule an old leave of %s: %w", a.name, err)
	}
	r.log.add("the tests", "PUT %s: %s", path, answer)
	return nil
}

// sleeps stops a participant's process as a machine that sleeps does.
func sleeps(name string) step {
	return step{"the machine of " + name + " sleeps", func(r *run) error {
		r.actors[name].silence()
		return r.actors[name].process().cmd.Process.Signal(syscall.SIGSTOP)
	}}
}

func wakes(name string) step {
	return step{"the machine of " + name + " wakes", func(r *run) error {
		return r.actors[name].process().cmd.Process.Signal(syscall.SIGCONT)
	}}
}
