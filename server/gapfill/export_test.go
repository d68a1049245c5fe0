package gapfill

import (
	"net/url"
	"time"
)

// NewWithClock is New with clocks of the test's.
func NewWithClock(cfg Config, opts *Options, wall func() time.Time, mono func() time.Duration) (*Service, error) {
	return newService(cfg, opts, newClock(wall, mono))
}

// Bounds and names that tests need.
const (
	MaxBody = maxBody
	Lease   = lease
)

// Route is route, flat.
func Route(method, path string, query url.Values) (kind int, room, typ, stateKey, txn, id, action string, state bool) {
	p := route(method, path, query)
	if p.stateKey != nil {
		stateKey, state = *p.stateKey, true
	}
	return int(p.kind), p.room, p.typ, stateKey, p.txn, p.id, p.action, state
}

// Kinds of Route.
const (
	KindPass, KindSchedule, KindManage, KindList, KindLook = int(kindPass), int(kindSchedule), int(kindManage), int(kindList), int(kindLook)
	KindState, KindUnknown, KindMethod, KindVersions       = int(kindState), int(kindUnknown), int(kindMethod), int(kindVersions)
	KindCapabilities, KindTransports, KindPreflight        = int(kindCapabilities), int(kindTransports), int(kindPreflight)
)
