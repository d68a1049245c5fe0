package homeserver

import (
	"encoding/json"

	"github.com/matrixrtc-go/matrixrtc"
)

// timelineLimit is how many events of the wanted types one /sync may bring per
// room before the homeserver calls it limited, and the whole state is read.
const timelineLimit = 100

// stateTypes are the state events that sessions depend on: memberships in all
// dialects, slots, and what decides who counts and who may write.
func stateTypes() []string {
	return []string{
		matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable, matrixrtc.TypeCallMember, matrixrtc.TypeFamedlyMember,
		matrixrtc.TypeSlot, matrixrtc.TypeSlotUnstable,
		matrixrtc.TypeRoomMember, matrixrtc.TypeRoomEncryption, matrixrtc.TypeRoomPowerLevels, matrixrtc.TypeRoomCreate,
	}
}

// timelineTypes are the events that matter as they happen: besides state,
// redactions, and how calls are announced and declined.
func timelineTypes() []string {
	return append(stateTypes(), matrixrtc.TypeRoomRedaction,
		matrixrtc.TypeNotification, matrixrtc.TypeNotificationUnstable, matrixrtc.TypeNotify, matrixrtc.TypeNotifyUnstable,
		matrixrtc.TypeDecline, matrixrtc.TypeDeclineUnstable)
}

// isMembership reports whether a type states memberships, so that it matters
// whether its sender is joined. Only sticky events come encrypted.
func isMembership(typ string) bool {
	switch typ {
	case matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable, matrixrtc.TypeCallMember, matrixrtc.TypeFamedlyMember,
		matrixrtc.TypeRoomEncrypted:
		return true
	}
	return false
}

// syncFilter is the filter of every /sync. Encrypted events are left out of the
// timeline: only sticky ones can matter, and a sticky event that a filter keeps
// out of the timeline arrives in the sticky section, to which filters do not
// apply (MSC4354).
func syncFilter() string {
	type section map[string]any
	nothing := section{"types": []string{}, "not_types": []string{"*"}, "limit": 1}
	filter := section{
		"presence":     nothing,
		"account_data": nothing,
		"room": section{
			"account_data": nothing,
			"ephemeral":    nothing,
			"state":        section{"types": stateTypes(), "lazy_load_members": true},
			"timeline": section{
				"types":             timelineTypes(),
				"lazy_load_members": true,
				"limit":             timelineLimit,
			},
		},
	}
	b, err := json.Marshal(filter)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(b)
}
