// Package devstack starts the real neighbours that the demo and the tests need
// on this machine: a Dendrite homeserver, a Redis, and (found, not started) a Chromium.
//
// It is no part of a site: nothing here belongs in front of users. Everything
// listens on loopback, keeps its data in a directory that Close removes, and
// runs as a child process that ends with ours.
//
// Dendrite is spoken to over the wire only. Its binary is built once, from a
// throw-away module in the user's cache whose go.mod and go.sum are embedded
// here; our own go.mod never names it.
//
// Every exported function and method may be called from any goroutine.
package devstack
