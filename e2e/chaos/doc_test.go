// Package chaos breaks a whole system on purpose and watches from outside what
// comes of it: real homeservers (Dendrite behind the site's gap-fill, Synapse),
// the real site with its SFU, and participants that are processes of their own
// in network namespaces of their own, so that what is cut is cut and who is
// killed is dead.
//
// A run is one scenario (scenarios_test.go) on one homeserver in one dialect.
// Two kinds of witnesses tell of it: an observer who takes no part (the root
// package fed by plain sync), and a tap in front of the homeserver that sees
// each request of each participant. The verdicts (verdict_test.go) are spoken
// over what they wrote down; the transcript of a run is all of it, by time.
//
// The tests need Linux with namespaces, nsenter, ip and nft. They run in
// namespaces of their own, made by unshare: whatever they do to the network
// ends with them.
//
// The flags -chaos.all, -chaos.run, -chaos.cycles, -chaos.out and -chaos.seed
// belong to this package; `make chaos` runs the whole matrix.
package chaos
