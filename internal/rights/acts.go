package rights

import (
	"cmp"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// Purpose is what an event type is for, in one word.
type Purpose string

// The purposes.
const (
	ToJoin    Purpose = "join"    // state a membership
	ToSlot    Purpose = "slot"    // open and close slots
	ToRing    Purpose = "ring"    // announce a call (MSC4075)
	ToDecline Purpose = "decline" // decline it (MSC4310)
	ToReact   Purpose = "react"   // raised hands, reactions
)

// Types of the events around a call that no dialect of membership has.
const (
	TypeNotification         = "m.rtc.notification"
	TypeNotificationUnstable = "org.matrix.msc4075.rtc.notification"
	TypeDecline              = "m.rtc.decline"
	TypeDeclineUnstable      = "org.matrix.msc4310.rtc.decline"
	TypeReaction             = "m.reaction"
	TypeEmote                = "io.element.call.reaction"
)

// Act is an event type that the product sends, as state or as a message.
type Act struct {
	Type    string
	State   bool
	Purpose Purpose
	// Dialects are those whose memberships are sent as it.
	Dialects []matrixrtc.DialectName
}

// Acts lists what the product sends in a room, memberships first. Levels are
// looked up by the literal type, so every name of a type stands for itself. In
// an encrypted room all messages but plain reactions are sent as
// m.room.encrypted, and its level counts in place of the one of the type inside.
func Acts(encrypted bool) []Act {
	const (
		state   = true
		message = false
	)
	sticky := []matrixrtc.DialectName{matrixrtc.DialectSlot, matrixrtc.DialectSticky}
	acts := []Act{
		{matrixrtc.TypeCallMember, state, ToJoin, []matrixrtc.DialectName{matrixrtc.DialectCall}},
		{matrixrtc.TypeMember, state, ToJoin, []matrixrtc.DialectName{matrixrtc.DialectDraft}},
	}
	if encrypted {
		acts = append(acts, Act{matrixrtc.TypeRoomEncrypted, message, ToJoin, sticky})
	} else {
		acts = append(acts,
			Act{matrixrtc.TypeMemberUnstable, message, ToJoin, sticky},
			Act{matrixrtc.TypeMember, message, ToJoin, sticky[:1]})
	}
	acts = append(acts,
		Act{matrixrtc.TypeSlot, state, ToSlot, nil},
		Act{matrixrtc.TypeSlotUnstable, state, ToSlot, nil})
	if !encrypted {
		acts = append(acts,
			Act{TypeNotification, message, ToRing, nil}, Act{TypeNotificationUnstable, message, ToRing, nil},
			Act{TypeDecline, message, ToDecline, nil}, Act{TypeDeclineUnstable, message, ToDecline, nil},
			Act{TypeEmote, message, ToReact, nil})
	}
	return append(acts, Act{TypeReaction, message, ToReact, nil})
}

// Room is what is known of a room. Joined may be nil: then nobody is counted.
type Room struct {
	ID        matrixrtc.RoomID
	Version   matrixrtc.RoomVersion
	Encrypted bool
	Levels    *Levels
	Joined    []matrixrtc.UserID
	ACL       *ACL
}

// Ability is who may do one act.
type Ability struct {
	Act
	// Need is the level it takes; Stated says that the room names the type, and
	// does not leave it to a default.
	Need   int
	Stated bool
	// Own says that the user who asks may do it.
	Own bool
	// Able are the joined users who may, sorted by level, the highest first.
	Able []matrixrtc.UserID
}

// Abilities says for each act who may do it. self is the user who asks.
func (r *Room) Abilities(self matrixrtc.UserID) []Ability {
	acts := Acts(r.Encrypted)
	list := make([]Ability, 0, len(acts))
	for _, a := range acts {
		need := r.Levels.Need(a.Type, a.State)
		_, stated := r.Levels.Events[a.Type]
		list = append(list, Ability{Act: a, Need: need, Stated: stated, Own: r.Levels.Of(self) >= need, Able: r.Able(need)})
	}
	return list
}

// Able lists the joined users who have a level, the most powerful first.
func (r *Room) Able(need int) []matrixrtc.UserID {
	var able []matrixrtc.UserID
	for _, u := range r.Joined {
		if r.Levels.Of(u) >= need {
			able = append(able, u)
		}
	}
	slices.SortFunc(able, func(a, b matrixrtc.UserID) int {
		return cmp.Or(cmp.Compare(r.Levels.Of(b), r.Levels.Of(a)), cmp.Compare(a, b))
	})
	return able
}

// MayJoin reports whether a user may state a membership in a dialect, and the
// act that it takes.
func (r *Room) MayJoin(user matrixrtc.UserID, d matrixrtc.DialectName) (Act, bool) {
	for _, a := range Acts(r.Encrypted) {
		if a.Purpose == ToJoin && slices.Contains(a.Dialects, d) {
			return a, r.Levels.Of(user) >= r.Levels.Need(a.Type, a.State)
		}
	}
	return Act{}, false
}
