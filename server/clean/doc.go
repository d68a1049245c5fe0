// Package clean knows who is connected to an SFU, and ends memberships of rooms
// whose devices are not: those that crashed, or lost their network, and that
// their homeserver did not take out.
//
// Ask turns the answers of a Source into what package suspect judges by. A Source
// is a room service at hand (Local), or a site of this project, asked through its
// admin listener (Handler there, Site here). A Cleaner does the rest by itself, for a
// site that was told to: see there for all that it does not do.
//
// The package decides nothing about who is dead: that is internal/suspect.
package clean
