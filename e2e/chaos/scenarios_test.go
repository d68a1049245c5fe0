//go:build linux

package chaos

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

type dialectName = matrixrtc.DialectName

const (
	draft  = matrixrtc.DialectDraft
	call   = matrixrtc.DialectCall
	sticky = matrixrtc.DialectSticky
	slot   = matrixrtc.DialectSlot
)

// steps puts steps and lists of steps in a row.
func steps(parts ...any) (list []step) {
	for _, p := range parts {
		switch p := p.(type) {
		case step:
			list = append(list, p)
		case []step:
			list = append(list, p...)
		}
	}
	return list
}

// begin: all three are in, hear alice, and from now on nobody may see anything
// else.
func begin() []step { return steps(joins(names...), agree(soon), hears("bob", "carol"), calm()) }

// finish: those leave who are still in.
func finish(who ...string) []step { return steps(leave(who...), agree(soon)) }

const (
	longDelay = 20 * time.Second // of the switch: what package client uses
	brief     = 20 * time.Second // a lifetime of memberships that refreshes are seen of
	often     = 6 * time.Second  // and how often
)

// quietScenarios disturb nobody but their own participants.
func quietScenarios() []scenario {
	return []scenario{
		{
			name: "baseline", telling: dendrite, dialect: call,
			says:  "Three join, stay for two delays, and leave.",
			steps: steps(begin(), pass(2*shortDelay), calmEnds(), heardAll(), finish(names...)),
		},
		{
			name: "killed", telling: dendrite, dialect: draft,
			says: "The process of a participant is killed: its switch ends its membership.",
			steps: steps(begin(), pass(2*time.Second), calmEnds(), steady("alice", "bob"), kills("carol"), gone("carol"), agree(soon), calmEnds(),
				finish("alice", "bob")),
		},
		{
			name: "partition, short", telling: dendrite, dialect: call,
			says: "A participant does not reach the homeserver for half a delay: nobody notices.",
			steps: steps(begin(), cut("bob"), pass(shortDelay/2), joinUp("bob"), keptAlive("bob"), pass(shortDelay), calmEnds(),
				heardAll(), finish(names...)),
		},
		{
			name: "partition, long", telling: synapse, dialect: sticky,
			says: "A participant does not reach the homeserver for two delays: it is gone for the others, knows that it must be, and comes back. Media goes on.",
			steps: steps(begin(), calmEnds(), steady("alice", "carol"), cut("bob"), gone("bob"), is("bob", 2*shortDelay, "lost"), joinUp("bob"),
				is("bob", soon, "joined", "rejoined"), back("bob"), pass(shortDelay), calmEnds(), heardAll(), finish(names...)),
		},
		{
			name: "20 % loss", telling: synapse, dialect: slot, wait: longDelay,
			says: "Every fifth packet of everybody is lost, both ways, for a minute: nobody notices.",
			steps: steps(begin(), rain(20, names...), pass(time.Minute), dry(names...), keptAlive(names...), calmEnds(), heardAll(),
				finish(names...)),
		},
		{
			name: "restarted in place", telling: synapse, dialect: call,
			says:  "A participant is killed and its device joins again at once: what its earlier life has scheduled does not end its membership.",
			steps: steps(begin(), kills("carol"), joins("carol"), agree(soon), pass(2*shortDelay), calmEnds(), finish(names...)),
		},
		{
			name: "leaked leave", telling: dendrite, dialect: call,
			says: "A leave that nobody knows of fires into a membership: it is stated anew.",
			steps: steps(begin(), calmEnds(), leak("carol", 3*time.Second), is("carol", soon, "lost", "rejoined"),
				is("carol", soon, "rejoined", "joined"), agree(soon), calm(), pass(shortDelay), calmEnds(), finish(names...)),
		},
		{
			name: "permission removed", telling: synapse, dialect: call, expires: brief, refresh: often,
			says: "Memberships are forbidden in mid-call: nobody can state one any more, nor leave, and all run out.",
			steps: steps(begin(), forbid(), pass(often), calmEnds(), is("alice", brief+promptly, "left"), is("bob", brief+promptly, "left"),
				is("carol", brief+promptly, "left"), nobodyIn(), agree(soon)),
		},
		{
			name: "kicked", telling: dendrite, dialect: draft,
			says: "A participant is kicked from the room: it is out at once, and stays out.",
			steps: steps(begin(), calmEnds(), kick("bob"), is("bob", soon, "left"), blind("bob"), agree(soon), calm(), pass(2*shortDelay), calmEnds(),
				heardBy("carol"), finish("alice", "carol")),
		},
		{
			name: "clock set back", telling: synapse, dialect: draft, expires: brief, refresh: often,
			says: "The clock of a participant is set back by an hour: nobody notices.",
			steps: steps(begin(), setClock("bob", -time.Hour), pass(brief+often), keptAlive(names...), calmEnds(), heardAll(),
				finish(names...)),
		},
		{
			name: "asleep", telling: dendrite, dialect: call,
			says: "A participant's machine sleeps for three delays: it is gone for the others, and back when it wakes.",
			steps: steps(begin(), calmEnds(), steady("alice", "bob"), sleeps("carol"), gone("carol"), agreeWithout("carol"), pass(shortDelay),
				wakes("carol"), back("carol"), calmEnds(), heardBy("bob"), finish(names...)),
		},
		{
			name: "no way to the SFU", telling: synapse, dialect: draft,
			says: "A participant does not reach the SFU for ten seconds: its media comes back, and nobody leaves.",
			steps: steps(begin(), cutMedia("bob"), pass(10*time.Second), mediaBack("bob"), hearAgain(time.Minute, "bob"), calmEnds(),
				heardBy("carol"), finish(names...)),
		},
		{
			name: "control", telling: dendrite, dialect: call,
			says: "What cannot be absorbed is taken for what must be: a verdict that cannot fail says nothing. A participant is cut off " +
				"for two delays, another one from the SFU, and a third one dies when nobody may leave any more.",
			wrong: []string{"stable", "media continuous", "switch fires", "no ghost"},
			steps: steps(begin(), cut("bob"), cutMedia("carol"), pass(2*shortDelay), joinUp("bob"), mediaBack("carol"), back("bob"), calmEnds(),
				hearAgain(time.Minute, "carol"), heardAll(), forbid(), kills("alice"), gone("alice")),
		},
	}
}

// loudScenarios disturb the whole stack: one at a time.
func loudScenarios() []scenario {
	return []scenario{
		{
			name: "homeserver restart", telling: synapse, dialect: slot, wait: longDelay, starting: 3,
			says:  "The homeserver is restarted: nobody notices.",
			steps: steps(begin(), restartHomeserver(), keptAlive(names...), pass(3*time.Second), calmEnds(), heardAll(), finish(names...)),
		},
		{
			name: "outage, short", telling: synapse, dialect: call,
			says: "Nobody reaches the homeserver for half a delay: nobody notices.",
			steps: steps(begin(), isolateHomeserver(), pass(shortDelay/2), homeserverBack(), keptAlive(names...), pass(shortDelay), calmEnds(),
				heardAll(), finish(names...)),
		},
		{
			name: "outage, long", telling: dendrite, dialect: call,
			says: "The homeserver is down for two delays: all come back, and media is back.",
			steps: steps(begin(), calmEnds(), killHomeserver(), pass(2*shortDelay), restartHomeserver(), keptAlive(names...), agree(soon),
				hearAgain(soon, "bob", "carol"), calm(), pass(shortDelay), calmEnds(), finish(names...)),
		},
		{
			name: "SFU restart", telling: dendrite, dialect: draft, wait: longDelay,
			says: "The site is killed and started again: media comes back, and nobody leaves.",
			steps: steps(begin(), killSite(), pass(2*time.Second), startSite(), hearAgain(time.Minute, "bob", "carol"), keptAlive(names...),
				calmEnds(), finish(names...)),
		},
		{
			name: "site restart", telling: dendrite, dialect: call, wait: 2 * shortDelay,
			says: "A participant dies, and then the site with what is scheduled at it; started again, it sends the leave in time.",
			steps: steps(begin(), calmEnds(), steady("alice", "bob"), kills("carol"), killSite(), pass(3*time.Second), startSite(), gone("carol"),
				agree(soon), keptAlive("alice", "bob"), calmEnds(), hearAgain(time.Minute, "bob"), finish("alice", "bob")),
		},
	}
}
