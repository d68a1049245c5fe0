// Package devstack starts the real neighbours that the demo and the tests need
// on this machine: the homeservers Dendrite and Synapse, a Redis, and (found, not
// started) a Chromium.
//
// It is no part of a site: nothing here belongs in front of users. Everything
// listens on loopback, keeps its data in a directory that Close removes, and
// runs as a child process that ends with ours.
//
// The homeservers are spoken to over the wire only. Dendrite's binary is built
// once, from a throw-away module in the user's cache whose go.mod and go.sum are
// embedded here; our own go.mod never names it. Synapse is installed once, into a
// virtual environment in the same cache, from wheels whose sums are embedded here.
//
// Every exported function and method may be called from any goroutine.
package devstack
