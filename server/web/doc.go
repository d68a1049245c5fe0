// Package web is the status page: a picture of the sessions that this process
// watches, for people who look. A Board holds what the page shows; the program
// writes to it, HTTP reads from it.
//
// It computes no session that goes on and opens no listener: it shows what it is
// given. Of past calls it keeps what matrixrtc.History makes of a sync, see
// Board.Listen. The page says who talks to whom, so its Handler belongs on the admin listener
// and never on the public one.
//
// Every exported method may be called from any goroutine. The board starts no
// goroutine of its own; Close ends the event streams that HTTP handlers are
// serving and returns when they have ended.
package web
